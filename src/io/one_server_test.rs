//! What a store with one server promises, with a scripted server and a paused clock.

use std::time::Duration;

use tokio::time::{Instant, advance, sleep};

use crate::io::event::{Event, Status};
use crate::io::shared::Closing;
use crate::io::test_store::{COMMAND_TIMEOUT, TestStore, text};
use crate::redis::Server;
use crate::redis::test_network::{TestListener, TestNetwork};
use crate::session::command::{Command, Reply};

const ADDRESS: &str = "a:6379";

/// A server at [`ADDRESS`], and its listener.
fn server() -> (Server, TestListener, TestNetwork) {
    let network = TestNetwork::new();
    let listener = network.listen(ADDRESS);
    let server = Server::tcp("a".into(), 6379).on_network(&network);
    (server, listener, network)
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_run_of_js_go_out_together_and_in_order() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let calls: Vec<_> = ["a", "b", "c"].map(|key| store.get(key)).into();
    let mut peer = listener.accept_and_log_in().await;
    for key in ["a", "b", "c"] {
        peer.expect(&["GET", key]).await;
    }
    peer.reply("$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n").await;
    for (call, reply) in calls.into_iter().zip(["1", "2", "3"]) {
        assert_eq!(store.answer(call).await, Ok(text(reply)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_when_the_connection_breaks_is_sent_once_more_before_later_calls() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let first = store.set("a");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "a", "v"]).await;
    let second = store.set("b");
    peer.expect(&["SET", "b", "v"]).await;
    peer.close();
    let third = store.destroy("a");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "a", "v"]).await;
    peer.expect(&["SET", "b", "v"]).await;
    peer.expect(&["DEL", "a"]).await;
    peer.reply("+OK\r\n+OK\r\n:1\r\n").await;
    for call in [first, second, third] {
        assert_eq!(store.answer(call).await, Ok(Reply::Null));
    }
    store.status(Status::Reconnecting).await;
    store.status(Status::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_connection_breaks_twice_is_rejected() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let call = store.get("a");
    for _ in 0..2 {
        let mut peer = listener.accept_and_log_in().await;
        peer.expect(&["GET", "a"]).await;
        peer.close();
    }
    let (code, message) = store.error(call).await;
    assert_eq!(code, "ECONNRESET");
    assert!(message.starts_with("call: the connection to Redis at a:6379 was lost"));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_connection_until_its_deadline_and_says_why_there_was_none() {
    let (server, listener, _network) = server();
    drop(listener);
    let store = TestStore::over(server);
    let start = Instant::now();
    let (code, message) = store.error(store.get("a")).await;
    assert_eq!(code, "ECONNREFUSED");
    assert!(message.contains("no connection to Redis at a:6379 within 5000 ms (commandTimeout)"));
    let waited = start.elapsed();
    assert!((COMMAND_TIMEOUT..COMMAND_TIMEOUT + Duration::from_millis(5)).contains(&waited));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_carried_out_if_the_server_comes_before_its_deadline() {
    let (server, listener, network) = server();
    drop(listener);
    let store = TestStore::over(server);
    let call = store.get("a");
    sleep(Duration::from_secs(4)).await;
    let listener = network.listen(ADDRESS);
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    peer.reply("$1\r\n1\r\n").await;
    assert_eq!(store.answer(call).await, Ok(text("1")));
}

#[tokio::test(start_paused = true)]
async fn attempts_to_connect_follow_one_another_with_pauses_that_grow_to_their_bound() {
    let (server, listener, _network) = server();
    let _store = TestStore::over(server);
    let mut last = Instant::now();
    let mut pauses = Vec::new();
    while pauses.len() < 9 {
        drop(listener.accept().await);
        // One attempt may be several connections, which follow one another at once.
        let pause = last.elapsed().as_millis() as u64;
        if pause > 0 {
            pauses.push(pause);
        }
        last = Instant::now();
    }
    // Between half and the whole of 25 ms, 50 ms … 800 ms.
    for (attempt, pause) in (0..).zip(&pauses) {
        let whole = (25 << attempt).min(800);
        assert!((whole / 2..=whole + 2).contains(pause), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_fail_fast_a_call_is_rejected_by_the_first_failed_attempt() {
    let (server, listener, network) = server();
    drop(listener);
    let store = TestStore::failing_fast(server);
    let start = Instant::now();
    let first = store.get("a");
    assert_eq!(store.error(first).await.0, "ECONNREFUSED");
    let second = store.get("b");
    assert_eq!(store.error(second).await.0, "ECONNREFUSED");
    assert!(start.elapsed() < Duration::from_millis(50));
    // And the store goes on by itself.
    let listener = network.listen(ADDRESS);
    let mut peer = listener.accept_and_log_in().await;
    store.status(Status::Ready).await;
    let third = store.get("c");
    peer.expect(&["GET", "c"]).await;
    peer.reply("$1\r\n3\r\n").await;
    assert_eq!(store.answer(third).await, Ok(text("3")));
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_is_no_answer_to_a_later_call() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let late = store.get("a");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    let (code, message) = store.error(late).await;
    assert_eq!(code, "ETIMEDOUT");
    assert!(message.contains("did not answer within 5000 ms"));
    let call = store.get("b");
    peer.expect(&["GET", "b"]).await;
    peer.reply("$4\r\nlate\r\n$1\r\n2\r\n").await;
    assert_eq!(store.answer(call).await, Ok(text("2")));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_silent_for_twice_command_timeout_is_left() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let start = Instant::now();
    let call = store.get("a");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    assert_eq!(store.error(call).await.0, "ETIMEDOUT");
    peer.closed().await;
    assert!(start.elapsed() >= 2 * COMMAND_TIMEOUT);
    let mut peer = listener.accept_and_log_in().await;
    let call = store.get("b");
    peer.expect(&["GET", "b"]).await;
    peer.reply("$1\r\n2\r\n").await;
    assert_eq!(store.answer(call).await, Ok(text("2")));
}

#[tokio::test(start_paused = true)]
async fn a_protocol_error_ends_the_connection_and_the_call_is_sent_again() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let call = store.get("a");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    peer.reply("HTTP/1.1 400 Bad Request\r\n").await;
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    peer.reply("$1\r\n1\r\n").await;
    assert_eq!(store.answer(call).await, Ok(text("1")));
}

#[tokio::test(start_paused = true)]
async fn a_master_that_becomes_a_replica_is_left_and_the_write_goes_to_the_new_master() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let write = store.set("a");
    let read = store.get("b");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "a", "v"]).await;
    peer.expect(&["GET", "b"]).await;
    peer.reply("-READONLY You can't write against a read only replica.\r\n$1\r\n2\r\n")
        .await;
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "a", "v"]).await;
    peer.reply("+OK\r\n").await;
    assert_eq!(store.answer(write).await, Ok(Reply::Null));
    assert!(store.answer(read).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_loads_its_data_is_asked_again_until_it_serves() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let call = store.get("a");
    for _ in 0..3 {
        let mut peer = listener.accept_and_log_in().await;
        peer.expect(&["GET", "a"]).await;
        peer.reply("-LOADING Redis is loading the dataset in memory\r\n")
            .await;
    }
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    peer.reply("$1\r\n1\r\n").await;
    assert_eq!(store.answer(call).await, Ok(text("1")));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_server_is_the_answer_of_its_call_alone() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let calls = [store.set("secret-sid"), store.set("b")];
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "secret-sid", "v"]).await;
    peer.expect(&["SET", "b", "v"]).await;
    peer.reply("-OOM no memory for secret-sid\r\n+OK\r\n").await;
    let (code, message) = store.error(calls[0]).await;
    assert_eq!(code, "OOM");
    assert!(!message.contains("secret-sid"), "{message}");
    assert_eq!(store.answer(calls[1]).await, Ok(Reply::Null));
}

#[tokio::test(start_paused = true)]
async fn beside_a_client_a_lost_connection_hands_back_what_is_in_flight_and_ends() {
    let (server, listener, _network) = server();
    let store = TestStore::beside_a_client(server);
    let _call = store.set("a");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "a", "v"]).await;
    peer.close();
    let handed_back = |event: &Event| match event {
        Event::HandedBack(_, call) => Some(call.command.key().to_vec()),
        _ => None,
    };
    let key = store.event("what is handed back", handed_back).await;
    assert_eq!(key, b"a");
    store.end().await;
    assert!(!listener.has_connection().await, "it connects again");
}

#[tokio::test(start_paused = true)]
async fn what_comes_just_before_the_end_is_handed_back_with_all_of_its_time() {
    let (server, listener, _network) = server();
    let store = TestStore::beside_a_client(server);
    let _peer = listener.accept_and_log_in().await;
    store.status(Status::Ready).await;
    store.call_among_many(Command::Destroy { key: b"a".to_vec() });
    store.shared.set_handed_back();
    store.supervisor.abort();
    let time_left = |event: &Event| match event {
        Event::HandedBack(_, call) => Some(call.deadline - Instant::now()),
        _ => None,
    };
    let left = store.event("what is handed back", time_left).await;
    assert_eq!(left, COMMAND_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn close_rejects_what_waits_and_says_the_end() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let call = store.get("a");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    store.close(Closing::Now);
    assert_eq!(store.error(call).await.0, "ECLOSED");
    store.end().await;
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_nobody_can_call_any_more_finishes_its_calls_first() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let call = store.get("a");
    store.close(Closing::WhenIdle);
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    peer.reply("$1\r\n1\r\n").await;
    assert_eq!(store.answer(call).await, Ok(text("1")));
    store.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_panics_leaves_no_call_without_an_answer() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let in_flight = store.get("a");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    let waiting = store.get("b");
    // Dropped in the middle of its work, as a panic does.
    store.supervisor.abort();
    assert_eq!(store.error(in_flight).await.0, "EINTERNAL");
    assert_eq!(store.error(waiting).await.0, "ECLOSED");
    store.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_bounded_and_the_rest_follows_without_waiting_for_it() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let calls: Vec<_> = (0..2500).map(|n| store.get(&format!("k{n}"))).collect();
    let mut peer = listener.accept_and_log_in().await;
    for n in 0..2500 {
        peer.expect(&["GET", &format!("k{n}")]).await;
    }
    for n in 1000..3500 {
        peer.reply(&format!("$4\r\n{n}\r\n")).await;
    }
    for (n, call) in (1000..).zip(calls) {
        assert_eq!(store.answer(call).await, Ok(text(&n.to_string())));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_from_the_arrival_of_a_call_on_the_io_thread() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let mut peer = listener.accept_and_log_in().await;
    store.status(Status::Ready).await;
    // JS runs for long after the call, and the I/O thread sees it late.
    let call = store.call(Command::Destroy { key: b"a".to_vec() });
    advance(COMMAND_TIMEOUT).await;
    peer.expect(&["DEL", "a"]).await;
    peer.reply(":1\r\n").await;
    assert_eq!(store.answer(call).await, Ok(Reply::Null));
}
