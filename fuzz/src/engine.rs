//! Stands for `src/engine.rs` where a sweep asks it: commands are answered by the target, at once,
//! and what the JS thread would be told is kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use redis::{Cmd, Value};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{ServerName, StoreError};

pub type CallId = u32;

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
    pub text: Vec<u8>,
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
    answer: Mutex<Answer>,
}

impl Shared {
    pub fn new(answer: Answer) -> Arc<Shared> {
        Arc::new(Shared {
            server: "here".into(),
            outbox: Outbox(Mutex::default()),
            answer: Mutex::new(answer),
        })
    }

    /// One value a command, as the store's gives them.
    pub async fn ask(&self, _: &'static str, commands: Vec<Cmd>) -> Result<Vec<Value>, StoreError> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        commands.iter().map(|command| (*answer)(command)).collect()
    }
}
