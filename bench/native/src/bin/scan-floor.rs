//! `scan-floor PORT count|unlink PATTERN COUNT`: goes over the strings of the Redis at a port of 127.0.0.1.
//! It prints the seconds and the keys, as JSON.

use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use connect_redis_rs_bench::scan_floor::{Operation, scan};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, operation, pattern, count] = &args[..] else {
        return Err("usage: scan-floor PORT count|unlink PATTERN COUNT".into());
    };
    let operation = match operation.as_str() {
        "count" => Operation::Count,
        "unlink" => Operation::Unlink,
        other => return Err(format!("unknown operation {other}").into()),
    };
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port.parse()?))?;
    let started = Instant::now();
    let found = scan(server, operation, pattern, count.parse()?)?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{{\"seconds\":{seconds},\"count\":{found}}}");
    Ok(())
}
