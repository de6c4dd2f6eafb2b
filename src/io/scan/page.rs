//! A page: some of the sessions, and where the next ones are. Nothing is kept between two pages, so a
//! reader may stop at any of them. As with SCAN, a session that is there all the time is on a page, and
//! may be on two.

use crate::error::StoreError;
use crate::io::call::{ConnectionId, Destination};
use crate::io::event::ScanAnswer;
use crate::io::scan::all::read_sessions;
use crate::io::scan::ids::push_ids;
use crate::io::scan::step::{ScanReply, send_step};
use crate::io::scan::task::{Progress, ScanTask};
use crate::io::scan_request::ScanKind;

/// Steps of one page: if other keys are in the majority, a page may be empty and others follow.
const MAX_STEPS: u32 = 32;
/// Keys that a step looks at, at most: it is larger the fewer sessions were found.
const MAX_COUNT: u32 = 1000;

/// Where a page begins: at a cursor of SCAN, on a master of a cluster.
#[derive(Debug, PartialEq)]
struct Position {
    master: ConnectionId,
    cursor: Vec<u8>,
}

impl Position {
    fn start_of(master: ConnectionId) -> Position {
        let cursor = b"0".to_vec();
        Position { master, cursor }
    }

    /// Reads what [`Position::write`] has written; from the start if it is something else.
    fn read(text: &str) -> Position {
        let read = || {
            let (master, cursor) = text.split_once(':')?;
            let is_cursor = cursor.parse::<u64>().is_ok() && !cursor.starts_with('+');
            is_cursor.then_some(Position {
                master: master.parse().ok()?,
                cursor: cursor.into(),
            })
        };
        read().unwrap_or_else(|| Position::start_of(0))
    }

    fn write(&self) -> String {
        let cursor = String::from_utf8_lossy(&self.cursor);
        format!("{}:{cursor}", self.master)
    }

    fn is_at_start(&self) -> bool {
        self.cursor == b"0"
    }
}

/// Reads a page. Its sessions go to the results.
pub async fn read_page(scan: &ScanTask, progress: &mut Progress) -> Result<ScanAnswer, StoreError> {
    let page = &scan.request.page;
    let mut position = Position::read(&page.position);
    let mut count = u32::try_from(page.limit).map_or(MAX_COUNT, |limit| limit.min(MAX_COUNT));
    let mut found = 0;
    for _ in 0..MAX_STEPS {
        let (server, next) = place(scan, &mut position).await?;
        let step = send_step(scan, &position.cursor, server, count);
        let ScanReply { cursor, mut keys } = step.reply().await?;
        position.cursor = cursor;
        scan.retain_new(progress, &mut keys);
        match scan.request.kind {
            ScanKind::IdsPage => push_ids(scan, progress, &keys).await,
            _ => read_sessions(scan, progress, &keys).await?,
        }
        found += keys.len();
        if position.is_at_start() {
            match next {
                Some(master) => position = Position::start_of(master),
                None => return Ok(ScanAnswer::Nothing),
            }
        }
        if found >= page.limit {
            break;
        }
        if keys.len() < count as usize / 2 {
            count = (count * 2).min(MAX_COUNT);
        }
    }
    Ok(ScanAnswer::Next(position.write()))
}

/// Returns where a position is, and the master after that one. A master that is gone is passed over:
/// another has its keys.
async fn place(
    scan: &ScanTask,
    position: &mut Position,
) -> Result<(Destination, Option<ConnectionId>), StoreError> {
    if !scan.shared.is_cluster() {
        return Ok((Destination::Key, None));
    }
    let mut masters = scan.shared.masters(scan.request.name).await?;
    masters.sort_unstable();
    let at = position.master;
    let mut rest = masters.into_iter().filter(|id| *id >= at);
    match rest.next() {
        Some(id) if id == at => {}
        Some(id) => *position = Position::start_of(id),
        None => {
            return Err(StoreError::connection_lost(
                scan.request.name,
                &scan.shared.server,
            ));
        }
    }
    Ok((Destination::Connection(position.master), rest.next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let position = Position {
            master: 3,
            cursor: b"17".to_vec(),
        };
        assert_eq!(Position::read(&position.write()), position);
    }

    #[test]
    fn what_is_no_position_is_the_start() {
        for text in [
            "",
            "0:",
            "x:1",
            "1",
            "0:-1",
            "0:+1",
            "0:1 COUNT 9",
            "99999999999:1",
            "0:99999999999999999999",
        ] {
            assert_eq!(Position::read(text), Position::start_of(0), "{text:?}");
        }
    }
}
