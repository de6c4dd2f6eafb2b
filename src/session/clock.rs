//! The app's own clock, on any thread.

use std::time::Instant;

/// The app's own clock, which a test may have set, as the JS thread read it last.
#[derive(Clone, Copy)]
pub struct Clock {
    /// What `Date.now()` returned.
    date_now: f64,
    /// When it returned that.
    pub read: Instant,
}

impl Clock {
    /// A clock that was read just now.
    pub fn new(date_now: f64) -> Clock {
        Clock {
            date_now,
            read: Instant::now(),
        }
    }

    /// What `Date.now()` would return at a moment, in milliseconds since the epoch.
    pub fn at(self, moment: Instant) -> f64 {
        let since = moment.saturating_duration_since(self.read);
        self.date_now + since.as_millis() as f64
    }
}
