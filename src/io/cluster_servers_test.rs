//! What a store with a cluster promises, with scripted nodes and a paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::io::event::Status;
use crate::io::lock::lock;
use crate::io::test_store::{COMMAND_TIMEOUT, Script, TestStore, serve};
use crate::redis::Server;
use crate::redis::cluster::slots::slot_of;
use crate::redis::test_network::TestNetwork;
use crate::session::command::Reply;

/// A reply to CLUSTER SLOTS: `(from, to, host)`, all at port 6379.
fn slots(ranges: &[(u16, u16, &str)]) -> String {
    let ranges: String = ranges
        .iter()
        .map(|(from, to, host)| {
            let length = host.len();
            format!("*3\r\n:{from}\r\n:{to}\r\n*2\r\n${length}\r\n{host}\r\n:6379\r\n")
        })
        .collect();
    let count = ranges.matches("*3\r\n").count();
    format!("*{count}\r\n{ranges}")
}

const HALVES: [(u16, u16, &str); 2] = [(0, 8191, "a"), (8192, 16383, "b")];

/// A key in the half of `a`, and one in the half of `b`.
const OF_A: &str = "bar";
const OF_B: &str = "foo";

fn seeds(network: &TestNetwork) -> Vec<Server> {
    vec![Server::tcp("a".into(), 6379).on_network(network)]
}

/// A node that has the halves, and answers `answer` to all other commands.
fn node(answer: impl Fn(&[String]) -> Option<String> + Send + Sync + 'static) -> Script {
    Arc::new(move |command| match command[0].as_str() {
        "CLUSTER" => Some(slots(&HALVES)),
        _ => answer(command),
    })
}

fn ok() -> Script {
    node(|_| Some("+OK\r\n".into()))
}

/// A node that has the halves; after a second, `c` has the slots of `b`.
fn replaced_after_a_second() -> Script {
    let since = Instant::now();
    Arc::new(move |command| match command[0].as_str() {
        "CLUSTER" if since.elapsed() < Duration::from_secs(1) => Some(slots(&HALVES)),
        "CLUSTER" => Some(slots(&[(0, 8191, "a"), (8192, 16383, "c")])),
        _ => Some("+OK\r\n".into()),
    })
}

fn commands(log: &Arc<Mutex<Vec<String>>>) -> Vec<String> {
    let is_call = |command: &&String| !command.starts_with("CLUSTER");
    lock(log).iter().filter(is_call).cloned().collect()
}

#[test]
fn the_keys_of_these_tests_are_in_their_halves() {
    assert!(slot_of(OF_A.as_bytes()) < 8192);
    assert!(slot_of(OF_B.as_bytes()) >= 8192);
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_to_the_node_that_has_its_slot() {
    let network = TestNetwork::new();
    let at_a = serve(network.listen("a:6379"), ok());
    let at_b = serve(network.listen("b:6379"), ok());
    let store = TestStore::over_cluster(seeds(&network));
    for call in [store.set(OF_A), store.set(OF_B)] {
        assert_eq!(store.answer(call).await, Ok(Reply::Null));
    }
    store.status(Status::Ready).await;
    assert_eq!(commands(&at_a), [format!("SET {OF_A} v")]);
    assert_eq!(commands(&at_b), [format!("SET {OF_B} v")]);
}

#[tokio::test(start_paused = true)]
async fn moved_sends_the_call_to_the_node_it_names_and_later_calls_too() {
    let network = TestNetwork::new();
    let slot = slot_of(OF_A.as_bytes());
    let moved = format!("-MOVED {slot} c:6379\r\n");
    let at_a = serve(network.listen("a:6379"), node(move |_| Some(moved.clone())));
    let _b = serve(network.listen("b:6379"), ok());
    let at_c = serve(network.listen("c:6379"), ok());
    let store = TestStore::over_cluster(seeds(&network));
    let first = store.set(OF_A);
    assert_eq!(store.answer(first).await, Ok(Reply::Null));
    let second = store.destroy(OF_A);
    assert_eq!(store.answer(second).await, Ok(Reply::Null));
    assert_eq!(commands(&at_a), [format!("SET {OF_A} v")]);
    assert_eq!(
        commands(&at_c),
        [format!("SET {OF_A} v"), format!("DEL {OF_A}")]
    );
}

#[tokio::test(start_paused = true)]
async fn calls_on_a_slot_that_moves_keep_their_order() {
    let network = TestNetwork::new();
    let slot = slot_of(OF_A.as_bytes());
    let moved = format!("-MOVED {slot} c:6379\r\n");
    let _a = serve(network.listen("a:6379"), node(move |_| Some(moved.clone())));
    let _b = serve(network.listen("b:6379"), ok());
    let at_c = serve(network.listen("c:6379"), ok());
    let store = TestStore::over_cluster(seeds(&network));
    // Two batches in flight, and calls that are made when the first has come back.
    let mut calls = vec![store.set(OF_A)];
    sleep(Duration::from_millis(1)).await;
    calls.push(store.destroy(OF_A));
    calls.push(store.set(OF_A));
    for call in calls {
        assert_eq!(store.answer(call).await, Ok(Reply::Null));
    }
    let [set, del] = [format!("SET {OF_A} v"), format!("DEL {OF_A}")];
    assert_eq!(commands(&at_c), [set.clone(), del, set]);
}

#[tokio::test(start_paused = true)]
async fn ask_sends_asking_first_and_moves_nothing() {
    let network = TestNetwork::new();
    let slot = slot_of(OF_A.as_bytes());
    let is_first = Mutex::new(true);
    let at_a = serve(
        network.listen("a:6379"),
        node(move |_| {
            let is_first = std::mem::take(&mut *lock(&is_first));
            let ask = format!("-ASK {slot} b:6379\r\n");
            Some(if is_first { ask } else { "+OK\r\n".into() })
        }),
    );
    let at_b = serve(network.listen("b:6379"), ok());
    let store = TestStore::over_cluster(seeds(&network));
    let first = store.set(OF_A);
    assert_eq!(store.answer(first).await, Ok(Reply::Null));
    let second = store.destroy(OF_A);
    assert_eq!(store.answer(second).await, Ok(Reply::Null));
    assert_eq!(
        commands(&at_b),
        ["ASKING".to_string(), format!("SET {OF_A} v")]
    );
    assert_eq!(
        commands(&at_a),
        [format!("SET {OF_A} v"), format!("DEL {OF_A}")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_asking_is_the_answer_to_its_call() {
    let network = TestNetwork::new();
    let slot = slot_of(OF_A.as_bytes());
    let ask = format!("-ASK {slot} b:6379\r\n");
    let _a = serve(network.listen("a:6379"), node(move |_| Some(ask.clone())));
    let _b = serve(
        network.listen("b:6379"),
        node(move |command| {
            Some(match command[0].as_str() {
                "ASKING" => "-NOPERM this user has no permissions to run it\r\n".into(),
                _ => format!("-MOVED {slot} a:6379\r\n"),
            })
        }),
    );
    let store = TestStore::over_cluster(seeds(&network));
    let (code, message) = store.error(store.set(OF_A)).await;
    assert_eq!(code, "NOPERM");
    assert!(message.contains("Redis at b:6379"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn nodes_that_send_a_call_to_and_fro_are_an_error_in_the_end() {
    let network = TestNetwork::new();
    let slot = slot_of(OF_A.as_bytes());
    let to = move |host: &str| {
        let moved = format!("-MOVED {slot} {host}:6379\r\n");
        node(move |_| Some(moved.clone()))
    };
    let _a = serve(network.listen("a:6379"), to("b"));
    let _b = serve(network.listen("b:6379"), to("a"));
    let store = TestStore::over_cluster(seeds(&network));
    let (code, message) = store.error(store.set(OF_A)).await;
    assert_eq!(code, "MOVED");
    assert!(message.contains("do not agree"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_nobody_serves_is_waited_for() {
    let network = TestNetwork::new();
    let since = Instant::now();
    let at_a = serve(
        network.listen("a:6379"),
        node(move |_| {
            let is_down = since.elapsed() < Duration::from_secs(2);
            let down = "-CLUSTERDOWN Hash slot not served\r\n";
            Some(if is_down { down } else { "+OK\r\n" }.into())
        }),
    );
    let _b = serve(network.listen("b:6379"), ok());
    let store = TestStore::over_cluster(seeds(&network));
    let call = store.set(OF_A);
    assert_eq!(store.answer(call).await, Ok(Reply::Null));
    assert!(since.elapsed() >= Duration::from_secs(2));
    assert!(commands(&at_a).len() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_stays_unserved_is_an_error_with_the_reason_at_the_deadline() {
    let network = TestNetwork::new();
    let down = node(|_| Some("-CLUSTERDOWN Hash slot not served\r\n".into()));
    let _a = serve(network.listen("a:6379"), down);
    let _b = serve(network.listen("b:6379"), ok());
    let store = TestStore::over_cluster(seeds(&network));
    let start = Instant::now();
    let (code, _) = store.error(store.set(OF_A)).await;
    assert_eq!(code, "CLUSTERDOWN");
    assert!(start.elapsed() >= COMMAND_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_node_that_is_gone_goes_to_the_one_that_takes_its_place() {
    let network = TestNetwork::new();
    // Nobody has ever reached `b`.
    let a = replaced_after_a_second();
    let _a = serve(network.listen("a:6379"), a);
    let at_c = serve(network.listen("c:6379"), ok());
    let store = TestStore::over_cluster(seeds(&network));
    let call = store.set(OF_B);
    assert_eq!(store.answer(call).await, Ok(Reply::Null));
    assert_eq!(commands(&at_c), [format!("SET {OF_B} v")]);
    store.status(Status::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_left_when_another_has_its_slots() {
    let network = TestNetwork::new();
    let a = replaced_after_a_second();
    let _a = serve(network.listen("a:6379"), a);
    let _b = serve(network.listen("b:6379"), node(|_| None));
    let at_c = serve(network.listen("c:6379"), ok());
    let store = TestStore::over_cluster(seeds(&network));
    let (code, _) = store.error(store.set(OF_B)).await;
    assert_eq!(code, "ETIMEDOUT");
    // Its silence has made the store ask for the slot map.
    let call = store.destroy(OF_B);
    assert_eq!(store.answer(call).await, Ok(Reply::Null));
    assert_eq!(commands(&at_c), [format!("DEL {OF_B}")]);
}

#[tokio::test(start_paused = true)]
async fn a_call_follows_its_slot_from_node_to_node_however_often_that_moves() {
    let network = TestNetwork::new();
    let since = Instant::now();
    // Nobody listens at `e`, so the store keeps asking for the slot map.
    let a: Script = Arc::new(move |command| {
        let owner = match since.elapsed().as_secs() {
            0 => "b",
            1 => "c",
            _ => "d",
        };
        match command[0].as_str() {
            "CLUSTER" => Some(slots(&[
                (0, 100, "e"),
                (101, 8191, "a"),
                (8192, 16383, owner),
            ])),
            _ => Some("+OK\r\n".into()),
        }
    });
    let _a = serve(network.listen("a:6379"), a);
    let at_b = serve(network.listen("b:6379"), node(|_| None));
    let at_c = serve(network.listen("c:6379"), node(|_| None));
    let at_d = serve(network.listen("d:6379"), ok());
    let store = TestStore::over_cluster(seeds(&network));
    let call = store.set(OF_B);
    assert_eq!(store.answer(call).await, Ok(Reply::Null));
    for at in [at_b, at_c, at_d] {
        assert_eq!(commands(&at), [format!("SET {OF_B} v")]);
    }
}
