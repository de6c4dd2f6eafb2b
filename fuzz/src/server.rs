//! Runs a scan of the store over a server of the target's, which answers every command at once.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use redis::{Cmd, Value};

use crate::error::StoreError;
use crate::io::call::Call;
use crate::io::completions::{CompletionQueue, MIN_DRAIN};
use crate::io::event::{Event, Record, ScanAnswer};
use crate::io::limits::Limits;
use crate::io::scan;
use crate::io::scan_request::ScanRequest;
use crate::io::shared::{Carrier, Shared};
use crate::redis::Batch;
use crate::redis::resp::{Frame, Parser};
use crate::session::command::{Command, Reply};

/// More steps than any input makes.
const MAX_STEPS: usize = 1_000_000;
const LIMITS: Limits = Limits {
    command: Duration::from_secs(5),
    connect: Duration::from_secs(5),
    fail_fast: false,
};

/// What answers the commands.
pub type Answer = Box<dyn FnMut(&Cmd) -> Result<Value, StoreError>>;

/// What JS would have got.
#[derive(Default)]
pub struct Outcome {
    pub records: Vec<Record>,
    pub ids: Vec<String>,
    pub end: Option<Result<ScanAnswer, StoreError>>,
}

/// Runs a scan to its end. Panics if it waits although everything is answered.
pub fn run(request: ScanRequest, mut answer: Answer, is_cluster: bool) -> Outcome {
    let hands_back = false;
    let carrier = match is_cluster {
        true => Carrier::Cluster { hands_back },
        false => Carrier::Server { hands_back },
    };
    let completions = CompletionQueue::new(|| {});
    let shared = Shared::new(carrier, "here".into(), LIMITS, completions.clone(), None);
    let mut running = pin!(scan::run(request, shared.clone()));
    let mut outcome = Outcome::default();
    for _ in 0..MAX_STEPS {
        let has_ended = running.as_mut().now_or_never().is_some();
        drain(&completions, &mut outcome);
        if has_ended {
            return outcome;
        }
        let arrivals = shared.arrivals();
        for request in arrivals.masters {
            let _ = request.reply.send(Ok(vec![0])); // One master, which has every slot.
        }
        for mut call in arrivals.calls {
            let reply = serve(&call, &mut answer);
            call.answer(reply, &mut Vec::new());
        }
    }
    panic!("waits for something, although everything is answered");
}

fn drain(completions: &CompletionQueue, outcome: &mut Outcome) {
    loop {
        let (events, is_more) = completions.drain(MIN_DRAIN);
        for event in events {
            match event {
                Event::ScanChunk(_, chunk) => outcome.records.extend(chunk.records),
                Event::ScanIds(_, chunk) => {
                    let ids: Vec<String> = serde_json::from_slice(&chunk.json).expect("no JSON");
                    outcome.ids.extend(ids);
                }
                Event::ScanEnd(_, end) => outcome.end = Some(end),
                _ => {}
            }
        }
        if !is_more {
            return;
        }
    }
}

fn serve(call: &Call, answer: &mut Answer) -> Result<Reply, StoreError> {
    let replies: Vec<Value> = commands(&call.command)
        .iter()
        .map(answer)
        .collect::<Result<_, _>>()?;
    let mut replies = replies.into_iter();
    call.command
        .read_answer(&mut replies, call.name, "here", Instant::now())
}

/// The commands as a server reads them off the wire.
fn commands(command: &Command) -> Vec<Cmd> {
    let mut batch = Batch::default();
    command.add_to(&mut batch);
    let bytes = batch.into_bytes();
    let mut rest = &bytes[..];
    let mut parser = Parser::default();
    let mut commands = Vec::new();
    while let Ok(Some(Frame::Reply(Value::Array(parts)))) = parser.next(&mut rest) {
        let mut command = Cmd::new();
        for part in parts {
            match part {
                Value::BulkString(part) => command.arg(part),
                other => panic!("a part of a command is {other:?}"),
            };
        }
        commands.push(command);
    }
    commands
}
