//! `delay-proxy PORT`: puts the server at a port of 127.0.0.1 further away. It prints its own port. For
//! each line with a number of nanoseconds on stdin, it delays each direction by so much from then on, and
//! prints the number. It ends when stdin does.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use connect_redis_rs_bench::delayed::Delay;
use connect_redis_rs_bench::proxy::listen;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server_port = std::env::args()
        .nth(1)
        .ok_or("usage: delay-proxy PORT")?
        .parse()?;
    // Linux wakes a thread up to 50 µs late, to spare itself a timer. Threads inherit this.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    let delay = Arc::new(Delay::default());
    say(&listen(server_port, delay.clone())?.to_string())?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        delay.set(Duration::from_nanos(line.parse()?));
        say(&line)?;
    }
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
