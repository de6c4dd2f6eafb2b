//! What holds for calls that the JS thread sends itself, with a scripted server and a paused clock.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::io::direct::DirectPoll;
use crate::io::event::Status;
use crate::io::shared::{Closing, Submitted};
use crate::io::test_store::{COMMAND_TIMEOUT, TestStore, get, set, text};
use crate::redis::Server;
use crate::redis::test_network::{TestListener, TestNetwork, TestPeer};
use crate::session::command::{Command, Reply};
use crate::session::expiry::Expiry;

const ADDRESS: &str = "a:6379";
const ANSWERED: DirectPoll = DirectPoll::Answered { is_steady: false };

/// A store whose server has answered a call, so that the next one goes out directly.
async fn connected() -> (TestStore, TestPeer, TestListener) {
    let network = TestNetwork::new();
    let listener = network.listen(ADDRESS);
    let server = Server::tcp("a".into(), 6379).on_network(&network);
    let store = TestStore::over(server);
    let mut peer = listener.accept_and_log_in().await;
    store.status(Status::Ready).await;
    answer_queued(&store, &mut peer).await;
    (store, peer, listener)
}

fn touch(key: &str) -> Command {
    let expiry = Expiry::In(1000);
    let key = key.into();
    Command::Touch { key, expiry }
}

/// Makes a call that goes out by way of the I/O thread.
async fn answer_queued(store: &TestStore, peer: &mut TestPeer) {
    let call = store.call_queued(get("first"));
    peer.expect(&["GET", "first"]).await;
    peer.reply("$1\r\n0\r\n").await;
    assert_eq!(store.answer(call).await, Ok(text("0")));
}

#[tokio::test(start_paused = true)]
async fn the_js_thread_sends_a_call_and_reads_its_reply() {
    let (store, mut peer, _listener) = connected().await;
    for round in 2..10 {
        let call = store.call_directly(get("a"));
        assert_eq!(store.poll_direct(), DirectPoll::Waiting);
        peer.expect(&["GET", "a"]).await;
        peer.reply("$1\r\n1\r\n").await;
        assert_eq!(store.poll_direct(), ANSWERED);
        assert_eq!(store.answer(call).await, Ok(text("1")));
        let numbers = store.traffic();
        assert_eq!(numbers[0], f64::from(round), "batches");
        let replied: f64 = numbers[numbers.len() / 2 + 2..].iter().sum();
        assert_eq!(replied, f64::from(round), "replies");
    }
}

#[tokio::test(start_paused = true)]
async fn if_the_js_thread_does_not_look_the_io_thread_answers() {
    let (store, mut peer, _listener) = connected().await;
    for _ in 0..3 {
        let call = store.call_directly(get("a"));
        peer.expect(&["GET", "a"]).await;
        peer.reply("$1\r\n1\r\n").await;
        assert_eq!(store.answer(call).await, Ok(text("1")));
        assert_eq!(store.poll_direct(), DirectPoll::Left);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_follow_a_direct_one_are_sent_and_answered_after_it() {
    let (store, mut peer, _listener) = connected().await;
    for _ in 0..3 {
        let direct = store.call_directly(set("a"));
        let queued = [get("a"), set("b")].map(|command| store.call_among_many(command));
        peer.expect(&["SET", "a", "v"]).await;
        peer.expect(&["GET", "a"]).await;
        peer.expect(&["SET", "b", "v"]).await;
        assert_eq!(store.poll_direct(), DirectPoll::Left);
        peer.reply("+OK\r\n$1\r\nv\r\n+OK\r\n").await;
        assert_eq!(store.answer(direct).await, Ok(Reply::Null));
        assert_eq!(store.answer(queued[0]).await, Ok(text("v")));
        assert_eq!(store.answer(queued[1]).await, Ok(Reply::Null));
    }
}

#[tokio::test(start_paused = true)]
async fn direct_calls_that_follow_one_another_are_answered_as_their_replies_come() {
    let (store, mut peer, _listener) = connected().await;
    for _ in 0..3 {
        let calls = [set("a"), get("a"), get("b")].map(|command| store.call_directly(command));
        peer.expect(&["SET", "a", "v"]).await;
        peer.expect(&["GET", "a"]).await;
        peer.expect(&["GET", "b"]).await;
        peer.reply("+OK\r\n$1\r\nv\r\n$1").await;
        assert_eq!(store.poll_direct(), ANSWERED);
        assert_eq!(store.answer(calls[0]).await, Ok(Reply::Null));
        assert_eq!(store.answer(calls[1]).await, Ok(text("v")));
        assert_eq!(store.poll_direct(), DirectPoll::Waiting);
        let last = store.call_directly(get("c"));
        peer.expect(&["GET", "c"]).await;
        peer.reply("\r\n2\r\n$1\r\n3\r\n").await;
        assert_eq!(store.poll_direct(), ANSWERED);
        assert_eq!(store.answer(calls[2]).await, Ok(text("2")));
        assert_eq!(store.answer(last).await, Ok(text("3")));
        assert_eq!(store.poll_direct(), DirectPoll::Left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_no_calls_is_not_sent() {
    let (store, mut peer, _listener) = connected().await;
    assert_eq!(store.submit_nothing(), Submitted::Done);
    yield_now().await;
    let call = store.call_directly(get("a"));
    peer.expect(&["GET", "a"]).await;
    peer.reply("$1\r\n1\r\n").await;
    assert_eq!(store.poll_direct(), ANSWERED);
    assert_eq!(store.answer(call).await, Ok(text("1")));
}

#[tokio::test(start_paused = true)]
async fn if_many_wait_calls_go_by_way_of_the_io_thread_sooner_if_they_have_texts() {
    for (command, most) in [(get as fn(&str) -> Command, 48), (touch, 512)] {
        let (store, mut peer, _listener) = connected().await;
        let (_, submitted) = store.submit(command("a"), most);
        assert_eq!(submitted, Submitted::MayPoll);
        peer.command().await;
        peer.reply(":1\r\n").await;
        store.poll_direct();
        let (_, submitted) = store.submit(command("a"), most + 1);
        assert_eq!(submitted, Submitted::Done);
        peer.command().await;
    }
}

#[tokio::test(start_paused = true)]
async fn direct_calls_on_a_connection_that_breaks_are_sent_once_more_in_their_order() {
    let (store, mut peer, listener) = connected().await;
    let direct = [set("a"), get("a"), get("b")].map(|command| store.call_directly(command));
    peer.expect(&["SET", "a", "v"]).await;
    peer.reply("+OK\r\n").await;
    peer.close();
    let later = store.call_among_many(get("c"));
    let mut peer = listener.accept_and_log_in().await;
    for key in ["a", "b", "c"] {
        peer.expect(&["GET", key]).await;
        peer.reply(&format!("$1\r\n{key}\r\n")).await;
    }
    assert_eq!(store.answer(direct[0]).await, Ok(Reply::Null));
    assert_eq!(store.answer(direct[1]).await, Ok(text("a")));
    assert_eq!(store.answer(direct[2]).await, Ok(text("b")));
    assert_eq!(store.answer(later).await, Ok(text("c")));
}

#[tokio::test(start_paused = true)]
async fn an_error_among_direct_calls_is_left_to_the_supervisor_with_what_follows_it() {
    let (store, mut peer, _listener) = connected().await;
    let calls = [get("a"), get("b"), get("c")].map(|command| store.call_directly(command));
    peer.command().await;
    peer.reply("$1\r\n1\r\n-ERR no\r\n$1\r\n3\r\n").await;
    assert_eq!(store.poll_direct(), DirectPoll::Unanswered);
    assert_eq!(store.answer(calls[0]).await, Ok(text("1")));
    assert!(store.error(calls[1]).await.1.contains("no"));
    assert_eq!(store.answer(calls[2]).await, Ok(text("3")));
}

/// Calls that are made, sent and answered in every order of events get each its own answer.
#[tokio::test(start_paused = true)]
async fn calls_of_both_ways_get_each_its_own_answer() {
    let (store, mut peer, _listener) = connected().await;
    let mut state = 1_u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let mut is_direct = [0; 2];
    for _ in 0..300 {
        let mut calls = Vec::new();
        for number in 0..1 + random(6) {
            let waiting = if random(4) == 0 { 1000 } else { 1 };
            let (id, submitted) = store.submit(get(&format!("{number}")), waiting);
            is_direct[usize::from(submitted == Submitted::MayPoll)] += 1;
            calls.push(id);
            if random(3) == 0 {
                store.poll_direct();
            }
            if random(3) == 0 {
                yield_now().await;
            }
        }
        let mut replies = String::new();
        for number in 0..calls.len() {
            peer.expect(&["GET", &format!("{number}")]).await;
            replies += &format!("$1\r\n{number}\r\n");
        }
        let at = random(replies.len() as u32) as usize;
        for part in [&replies[..at], &replies[at..]] {
            peer.reply(part).await;
            match random(3) {
                0 => yield_now().await,
                _ => drop(store.poll_direct()),
            }
        }
        for (number, id) in calls.into_iter().enumerate() {
            assert_eq!(store.answer(id).await, Ok(text(&format!("{number}"))));
        }
    }
    assert!(is_direct.iter().all(|&count| count > 100), "{is_direct:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_directly_while_a_late_reply_is_awaited() {
    let (store, mut peer, _listener) = connected().await;
    let late = store.call_directly(get("a"));
    peer.expect(&["GET", "a"]).await;
    assert_eq!(store.error(late).await.0, "ETIMEDOUT");
    let call = store.call_queued(get("b"));
    peer.expect(&["GET", "b"]).await;
    peer.reply("$4\r\nlate\r\n$1\r\n2\r\n").await;
    assert_eq!(store.answer(call).await, Ok(text("2")));
    store.call_directly(get("c"));
}

#[tokio::test(start_paused = true)]
async fn a_direct_call_on_a_connection_that_breaks_is_sent_once_more_before_later_calls() {
    let (store, mut peer, listener) = connected().await;
    let direct = store.call_directly(set("a"));
    peer.expect(&["SET", "a", "v"]).await;
    peer.close();
    assert_ne!(store.poll_direct(), ANSWERED);
    let later = store.call_among_many(get("a"));
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "a", "v"]).await;
    peer.expect(&["GET", "a"]).await;
    peer.reply("+OK\r\n$1\r\nv\r\n").await;
    assert_eq!(store.answer(direct).await, Ok(Reply::Null));
    assert_eq!(store.answer(later).await, Ok(text("v")));
    // The new connection is used directly, too.
    store.call_directly(get("b"));
}

#[tokio::test(start_paused = true)]
async fn a_direct_call_whose_connection_breaks_twice_is_rejected() {
    let (store, mut peer, listener) = connected().await;
    let direct = store.call_directly(set("a"));
    peer.expect(&["SET", "a", "v"]).await;
    peer.close();
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "a", "v"]).await;
    peer.close();
    assert_eq!(store.error(direct).await.0, "ECONNRESET");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_server_is_left_to_the_supervisor() {
    let (store, mut peer, listener) = connected().await;
    let direct = store.call_directly(set("a"));
    peer.expect(&["SET", "a", "v"]).await;
    peer.reply("-READONLY You can't write against a read only replica.\r\n")
        .await;
    assert_eq!(store.poll_direct(), DirectPoll::Unanswered);
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "a", "v"]).await;
    peer.reply("+OK\r\n").await;
    assert_eq!(store.answer(direct).await, Ok(Reply::Null));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_reply_ends_the_connection() {
    let (store, mut peer, listener) = connected().await;
    let direct = store.call_directly(get("a"));
    peer.expect(&["GET", "a"]).await;
    peer.reply("HTTP/1.1 400 Bad Request\r\n").await;
    assert_eq!(store.poll_direct(), DirectPoll::Waiting);
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["GET", "a"]).await;
    peer.reply("$1\r\n1\r\n").await;
    assert_eq!(store.answer(direct).await, Ok(text("1")));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_costs_a_direct_call_command_timeout_and_then_the_connection() {
    let (store, mut peer, listener) = connected().await;
    sleep(COMMAND_TIMEOUT / 2).await;
    let start = Instant::now();
    let direct = store.call_directly(get("a"));
    peer.expect(&["GET", "a"]).await;
    assert_eq!(store.error(direct).await.0, "ETIMEDOUT");
    let waited = start.elapsed();
    assert!((COMMAND_TIMEOUT..COMMAND_TIMEOUT + Duration::from_millis(5)).contains(&waited));
    peer.closed().await;
    assert!(start.elapsed() >= 2 * COMMAND_TIMEOUT);
    let _peer = listener.accept_and_log_in().await;
}

#[tokio::test(start_paused = true)]
async fn close_rejects_direct_calls() {
    let (store, mut peer, _listener) = connected().await;
    let direct = [get("a"), get("b")].map(|command| store.call_directly(command));
    store.close(Closing::Now);
    for call in direct {
        assert_eq!(store.error(call).await.0, "ECLOSED");
    }
    store.end().await;
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_nobody_can_call_any_more_awaits_a_direct_call() {
    let (store, mut peer, _listener) = connected().await;
    let direct = store.call_directly(get("a"));
    store.close(Closing::WhenIdle);
    peer.expect(&["GET", "a"]).await;
    peer.reply("$1\r\n1\r\n").await;
    assert_eq!(store.answer(direct).await, Ok(text("1")));
    store.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_panics_leaves_no_direct_call_without_an_answer() {
    let (store, _peer, _listener) = connected().await;
    let direct = [get("a"), get("b")].map(|command| store.call_directly(command));
    store.supervisor.abort();
    for call in direct {
        assert_eq!(store.error(call).await.0, "ECLOSED");
    }
    store.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_time_without_calls_the_supervisor_sleeps_and_is_woken_by_the_next() {
    let (store, mut peer, _listener) = connected().await;
    sleep(3 * COMMAND_TIMEOUT).await;
    answer_queued(&store, &mut peer).await;
    store.call_directly(get("a"));
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_not_used_directly() {
    let network = TestNetwork::new();
    let listener = network.listen(ADDRESS);
    let store = TestStore::over(Server::tcp("a".into(), 6379).on_network(&network));
    let mut peer = listener.accept().await;
    peer.accept_login_as("replica").await;
    store.status(Status::Ready).await;
    for _ in 0..3 {
        answer_queued(&store, &mut peer).await;
    }
}
