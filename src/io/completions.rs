//! The way back: events queue up for the JS thread, which is woken once for as many as there are when
//! it looks.

use std::collections::VecDeque;
use std::mem::{replace, take};
use std::sync::{Arc, Mutex};

use crate::io::event::Event;
use crate::io::lock::lock;

/// The fewest events that the JS thread drains at once, if there are so many and it was woken for them.
pub const MIN_DRAIN: usize = 32;

/// Events for the JS thread.
pub struct CompletionQueue {
    events: Mutex<VecDeque<Event>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl CompletionQueue {
    /// An empty queue. `wake` is called after each push, on the thread that pushes.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<CompletionQueue> {
        Arc::new(CompletionQueue {
            events: Mutex::default(),
            wake: Box::new(wake),
        })
    }

    /// Queues events and wakes the JS thread.
    pub fn push(&self, events: impl IntoIterator<Item = Event>) {
        lock(&self.events).extend(events);
        (self.wake)();
    }

    /// Queues events without a wake, on the JS thread.
    pub fn push_unseen(&self, events: impl IntoIterator<Item = Event>) {
        lock(&self.events).extend(events);
    }

    /// Queues the events that `collect` collects, with one wake for all of them; none if there are
    /// none.
    pub fn push_all(&self, collect: impl FnOnce(&mut Vec<Event>)) {
        let mut events = Vec::new();
        collect(&mut events);
        if !events.is_empty() {
            self.push(events);
        }
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.events).is_empty()
    }

    /// Drains half of the queue, or `min` events if that is more; true says that something is left. The JS
    /// thread handles these, and sends the calls that follow from them, before it drains the rest: so these
    /// calls are on their way meanwhile, and neither thread waits for the other.
    pub fn drain(&self, min: usize) -> (VecDeque<Event>, bool) {
        let mut events = lock(&self.events);
        let count = (events.len() / 2).max(min);
        if events.len() <= count {
            return (take(&mut *events), false);
        }
        let rest = events.split_off(count);
        (replace(&mut *events, rest), true)
    }

    /// Puts back, in front, what was drained and not handled.
    pub fn put_back(&self, mut unhandled: VecDeque<Event>) {
        let mut events = lock(&self.events);
        unhandled.append(&mut events);
        *events = unhandled;
    }
}
