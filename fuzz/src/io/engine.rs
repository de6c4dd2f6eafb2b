//! Stands for `src/io/engine.rs` where a sweep asks it: commands are answered by the target, at once,
//! and what the JS thread would be told is kept.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::future::join_all;
use redis::{Cmd, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{ServerName, StoreError};
use crate::io::lane::LaneId;
use crate::redis::Batch;
use crate::redis::resp::{Frame, Parser};
use crate::session::command::{Command, Reply};

pub type CallId = u32;

#[derive(Clone, Copy)]
pub enum To {
    Key,
    Lane(LaneId),
}

/// What answers the commands of a sweep.
pub type Answer = Box<dyn FnMut(&Cmd) -> Result<Value, StoreError> + Send>;

pub enum News {
    Part(CallId, Part),
    Swept(CallId, Result<Option<usize>, StoreError>),
}

pub struct Part {
    pub records: VecDeque<Record>,
    pub _credit: OwnedSemaphorePermit,
}

pub struct Record {
    pub id: Vec<u8>,
    pub text: Option<Vec<u8>>,
    pub expires: Option<f64>,
}

/// What a sweep has told.
#[derive(Default)]
pub struct Told {
    pub records: Vec<Record>,
    pub swept: Option<Result<Option<usize>, StoreError>>,
}

pub struct Outbox(pub Mutex<Told>);

impl Outbox {
    pub fn push(&self, news: impl IntoIterator<Item = News>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for news in news {
            match news {
                // Its credit goes back at once.
                News::Part(_, part) => told.records.extend(part.records),
                News::Swept(_, swept) => told.swept = Some(swept),
            }
        }
    }
}

pub struct Shared {
    pub server: ServerName,
    pub outbox: Outbox,
    pub is_cluster: bool,
    pub by_client: bool,
    pub lost: AtomicU64,
    answer: Mutex<Answer>,
}

impl Shared {
    pub fn new(answer: Answer, is_cluster: bool) -> Arc<Shared> {
        Arc::new(Shared {
            server: "here".into(),
            outbox: Outbox(Mutex::default()),
            is_cluster,
            by_client: false,
            lost: AtomicU64::new(0),
            answer: Mutex::new(answer),
        })
    }

    /// One value a command, as the store's gives them.
    pub async fn ask(
        &self,
        _: &'static str,
        commands: Vec<Cmd>,
        _: To,
    ) -> Result<Vec<Value>, StoreError> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        commands.iter().map(|command| (*answer)(command)).collect()
    }

    pub async fn ask_nodes(
        &self,
        name: &'static str,
        commands: impl Iterator<Item = Command>,
    ) -> Vec<Result<Reply, StoreError>> {
        join_all(commands.map(async |command| {
            let mut batch = Batch::default();
            command.add_to(&mut batch);
            let commands = parse(&batch.into_bytes());
            let mut replies = self.ask(name, commands, To::Key).await?.into_iter();
            command.read(&mut replies, name, &self.server, Instant::now())
        }))
        .await
    }

    /// One master, which has everything.
    pub async fn masters(&self, _: &'static str) -> Result<Vec<LaneId>, StoreError> {
        Ok(vec![0])
    }
}

/// The commands that go over the wire as `bytes`, as a server reads them.
fn parse(mut bytes: &[u8]) -> Vec<Cmd> {
    let mut parser = Parser::default();
    let mut commands = Vec::new();
    while let Ok(Some(Frame::Reply(Value::Array(parts)))) = parser.next(&mut bytes) {
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
