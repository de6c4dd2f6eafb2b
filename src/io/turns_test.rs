//! What a store promises for saves that compare, with a scripted server and a paused clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::io::shared::Closing;
use crate::io::test_store::{COMMAND_TIMEOUT, TestStore};
use crate::redis::Server;
use crate::redis::test_network::{TestListener, TestNetwork};
use crate::session::command::{Command, Reply};
use crate::session::compare_and_set::{Base, CompareAndSet, KeyLife, OnConflict, Saved};

const OLD: &str = r#"{"n":1}"#;
const MINE: &str = r#"{"n":2}"#;
const THEIRS: &str = r#"{"n":1,"m":1}"#;
const BOTH: &str = r#"{"n":2,"m":1}"#;

fn server() -> (Server, TestListener, TestNetwork) {
    let network = TestNetwork::new();
    let listener = network.listen("a:6379");
    let server = Server::tcp("a".into(), 6379).on_network(&network);
    (server, listener, network)
}

fn save(base: &Arc<Base>, mine: &str) -> Command {
    let times = (None, 0.0);
    let (base, life) = (base.clone(), KeyLife::Never);
    let save = CompareAndSet::new(base, OnConflict::Merge, mine.into(), life, times);
    Command::CompareAndSet {
        key: b"k".to_vec(),
        save: Box::new(save),
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn saved(saved: Saved) -> Result<Reply, crate::error::StoreError> {
    Ok(Reply::Saved { saved, base: None })
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_of_a_session_waits_for_its_save_and_nothing_else_does() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let first = store.call(save(&Base::new(OLD.into()), MINE));
    let read = store.get("k");
    let removed = store.destroy("k");
    let other = store.get("other");
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "k", MINE, "IFEQ", OLD]).await;
    peer.expect(&["GET", "other"]).await;
    peer.reply("$-1\r\n$-1\r\n").await;
    assert_eq!(store.answer(other).await, Ok(Reply::Null));
    // Sent again, with what the others changed; the rest still waits.
    peer.expect(&["GET", "k"]).await;
    peer.reply(&bulk(THEIRS)).await;
    peer.expect(&["SET", "k", BOTH, "IFEQ", THEIRS]).await;
    peer.reply("+OK\r\n").await;
    assert_eq!(store.answer(first).await, saved(Saved::Merged));
    peer.expect(&["GET", "k"]).await;
    peer.expect(&["DEL", "k"]).await;
    peer.reply("$-1\r\n:0\r\n").await;
    assert_eq!(store.answer(read).await, Ok(Reply::Null));
    assert_eq!(store.answer(removed).await, Ok(Reply::Null));
}

#[tokio::test(start_paused = true)]
async fn saves_of_one_session_go_one_after_the_other() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let base = Base::new(OLD.into());
    let first = store.call(save(&base, MINE));
    let second = store.call(save(&base, r#"{"n":3}"#));
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "k", MINE, "IFEQ", OLD]).await;
    peer.reply("+OK\r\n").await;
    assert_eq!(store.answer(first).await, saved(Saved::AsIs));
    peer.expect(&["SET", "k", r#"{"n":3}"#, "IFEQ", MINE]).await;
    peer.reply("+OK\r\n").await;
    assert_eq!(store.answer(second).await, saved(Saved::AsIs));
}

#[tokio::test(start_paused = true)]
async fn a_save_without_an_answer_lets_the_next_calls_go_on_at_its_deadline() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let first = store.call(save(&Base::new(OLD.into()), MINE));
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "k", MINE, "IFEQ", OLD]).await;
    sleep(COMMAND_TIMEOUT - Duration::from_millis(100)).await;
    let read = store.get("k");
    assert_eq!(store.error(first).await.0, "ETIMEDOUT");
    peer.expect(&["GET", "k"]).await;
    peer.reply(&(bulk(OLD) + "$-1\r\n")).await;
    assert_eq!(store.answer(read).await, Ok(Reply::Null));
}

#[tokio::test(start_paused = true)]
async fn a_save_that_others_overtake_until_its_deadline_is_a_conflict() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let call = store.call(save(&Base::new(OLD.into()), MINE));
    let mut peer = listener.accept_and_log_in().await;
    let mut n = 0;
    let (code, message) = loop {
        peer.command().await.unwrap();
        sleep(Duration::from_millis(900)).await;
        n += 1;
        if n == 6 {
            // Its answer comes at the deadline or after it.
            break store.error(call).await;
        }
        if n % 2 == 1 {
            peer.reply("$-1\r\n").await;
        } else {
            peer.reply(&bulk(&format!(r#"{{"n":1,"m":{n}}}"#))).await;
        }
    };
    assert!(["ECONFLICT", "ETIMEDOUT"].contains(&&*code), "{code}");
    assert!(message.contains("commandTimeout"));
}

#[tokio::test(start_paused = true)]
async fn a_save_in_flight_on_a_broken_connection_is_not_carried_out_twice() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let call = store.call(save(&Base::new(OLD.into()), MINE));
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "k", MINE, "IFEQ", OLD]).await;
    peer.close();
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "k", MINE, "IFEQ", OLD]).await;
    peer.reply("$-1\r\n").await;
    peer.expect(&["GET", "k"]).await;
    peer.reply(&bulk(MINE)).await;
    assert_eq!(store.answer(call).await, saved(Saved::AsIs));
}

#[tokio::test(start_paused = true)]
async fn it_is_an_error_if_nobody_can_tell_whether_a_save_was_carried_out() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let call = store.call(save(&Base::new(OLD.into()), MINE));
    let mut peer = listener.accept_and_log_in().await;
    peer.command().await.unwrap();
    peer.close();
    let mut peer = listener.accept_and_log_in().await;
    peer.command().await.unwrap();
    peer.reply("$-1\r\n").await;
    peer.expect(&["GET", "k"]).await;
    peer.reply(&bulk(r#"{"n":7}"#)).await;
    let (code, message) = store.error(call).await;
    assert_eq!(code, "ECONNRESET");
    assert!(message.contains("it is not known whether this save was carried out"));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_can_do_is_learned_once_and_asked_anew_after_a_reconnect() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let base = Base::new(OLD.into());
    let first = store.call(save(&base, MINE));
    let mut peer = listener.accept_and_log_in().await;
    peer.command().await.unwrap();
    peer.reply("-ERR syntax error\r\n").await;
    assert_eq!(peer.command().await.unwrap()[0], "EVALSHA");
    peer.reply("-NOSCRIPT No matching script.\r\n").await;
    assert_eq!(peer.command().await.unwrap()[0], "EVAL");
    peer.reply("+OK\r\n").await;
    assert_eq!(store.answer(first).await, saved(Saved::AsIs));
    let second = store.call(save(&base, OLD));
    assert_eq!(peer.command().await.unwrap()[0], "EVALSHA");
    peer.reply("+OK\r\n").await;
    assert_eq!(store.answer(second).await, saved(Saved::AsIs));
    peer.close();
    let third = store.call(save(&base, MINE));
    let mut peer = listener.accept_and_log_in().await;
    peer.expect(&["SET", "k", MINE, "IFEQ", OLD]).await;
    peer.reply("+OK\r\n").await;
    assert_eq!(store.answer(third).await, saved(Saved::AsIs));
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_save_are_rejected_when_the_store_closes() {
    let (server, listener, _network) = server();
    let store = TestStore::over(server);
    let first = store.call(save(&Base::new(OLD.into()), MINE));
    let read = store.get("k");
    let mut peer = listener.accept_and_log_in().await;
    peer.command().await.unwrap();
    store.close(Closing::Now);
    for call in [first, read] {
        assert_eq!(store.error(call).await.0, "ECLOSED");
    }
    store.end().await;
}
