//! When the I/O thread stays awake instead of sleeping.

use std::time::{Duration, Instant};

/// How long the I/O thread stays awake for the next call.
const BUSY_POLL: Duration = Duration::from_micros(100);

/// Decides when to poll busily: while single calls follow one another closely, each after the answer
/// to the one before. Then to sleep and be woken takes longer than the call itself. With many calls at
/// once there is always something to do, and a thread that only polls would take the processor from a
/// Redis on the same machine; with few calls polling would find nothing.
#[derive(Default)]
pub struct BusyPoll {
    /// Whether the last call followed closely, and alone.
    is_close: bool,
    /// When there last was a call or an answer.
    last: Option<Instant>,
}

impl BusyPoll {
    /// Calls have arrived, while so many batches and scans are under way.
    pub fn calls_arrived(&mut self, calls: usize, others: usize, now: Instant) {
        if calls > 0 {
            let is_alone = calls == 1 && others == 0;
            self.is_close = is_alone && self.is_recent(now);
            self.last = Some(now);
        }
    }

    /// The JS thread sends calls itself. If the I/O thread stayed awake, it would take them over.
    pub fn stop(&mut self) {
        self.is_close = false;
        self.last = None;
    }

    /// A batch has been answered.
    pub fn answered(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Whether to stay awake.
    pub fn is_on(&self, now: Instant) -> bool {
        self.is_close && self.is_recent(now)
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now - last < BUSY_POLL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_calls_that_follow_closely_keep_the_thread_awake() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let mut busy_poll = BusyPoll::default();
        busy_poll.calls_arrived(1, 0, start);
        assert!(!busy_poll.is_on(start), "the first call follows nothing");
        busy_poll.calls_arrived(1, 0, at(30));
        assert!(busy_poll.is_on(at(31)));
        assert!(!busy_poll.is_on(at(500)), "nothing came");
        busy_poll.calls_arrived(1, 0, at(1000));
        assert!(!busy_poll.is_on(at(1001)), "it came late");
        busy_poll.calls_arrived(1, 0, at(1030));
        busy_poll.calls_arrived(64, 0, at(1040));
        assert!(!busy_poll.is_on(at(1041)), "there are many");
        busy_poll.calls_arrived(1, 1, at(1050));
        assert!(!busy_poll.is_on(at(1051)), "it is not alone");
        busy_poll.calls_arrived(1, 0, at(1060));
        busy_poll.stop();
        busy_poll.answered(at(1062));
        assert!(!busy_poll.is_on(at(1063)), "calls go directly");
    }
}
