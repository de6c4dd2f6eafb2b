//! The slot of a key, and what nodes say about which node serves a slot: the slot map and
//! redirections. See <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

use redis::{ServerError, Value};

/// The address of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub host: String,
    pub port: u16,
}

/// Which master serves which slots: the first and the last slot of a range, and the master.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotMap(pub Vec<(u16, u16, Node)>);

/// How many slots a cluster has.
pub const SLOTS: usize = 16384;

/// Returns the slot of a key: of its hash tag, which is the text in the first `{…}`, or of the whole
/// key if it has no hash tag or an empty one.
pub fn slot_of(key: &[u8]) -> u16 {
    let hashed = match key.iter().position(|&byte| byte == b'{') {
        None => key,
        Some(open) => match key[open + 1..].iter().position(|&byte| byte == b'}') {
            None | Some(0) => key,
            Some(length) => &key[open + 1..=open + length],
        },
    };
    crc16(hashed) % SLOTS as u16
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// Which node to ask instead.
#[derive(Debug, PartialEq)]
pub enum Redirect {
    /// The slot is at this node from now on.
    Moved(u16, Node),
    /// The slot is being moved to this node, which may have the key already.
    Ask(Node),
}

/// Reads a MOVED or ASK error; `None` for any other. `asked` is the host of the node that gave it,
/// which the error means if it has no host.
pub fn redirect(error: &ServerError, asked: &str) -> Option<Redirect> {
    let is_moved = match error.code() {
        "MOVED" => true,
        "ASK" => false,
        _ => return None,
    };
    let (slot, address) = error.details()?.split_once(' ')?;
    let (host, port) = address.trim().rsplit_once(':')?;
    let node = Node {
        host: known_host(host, asked),
        port: port.parse().ok()?,
    };
    let slot: u16 = slot
        .parse()
        .ok()
        .filter(|&slot| usize::from(slot) < SLOTS)?;
    Some(if is_moved {
        Redirect::Moved(slot, node)
    } else {
        Redirect::Ask(node)
    })
}

/// Reads the reply to CLUSTER SLOTS. A node that does not know its own address, or must not tell it,
/// leaves it out: then it is at `asked`, the host that was asked. Returns `None` if the reply has no
/// slot.
pub fn read_slot_map(reply: &Value, asked: &str) -> Option<SlotMap> {
    let Value::Array(ranges) = reply else {
        return None;
    };
    let ranges: Vec<_> = ranges
        .iter()
        .filter_map(|range| match range {
            Value::Array(range) => match &range[..] {
                [Value::Int(from), Value::Int(to), Value::Array(master), ..] => {
                    let from = u16::try_from(*from).ok()?;
                    let to = u16::try_from(*to).ok()?;
                    let are_slots = from <= to && usize::from(to) < SLOTS;
                    Some((from, to, read_node(master, asked)?)).filter(|_| are_slots)
                }
                _ => None,
            },
            _ => None,
        })
        .collect();
    (!ranges.is_empty()).then_some(SlotMap(ranges))
}

fn read_node(master: &[Value], asked: &str) -> Option<Node> {
    let host = match master.first()? {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        _ => "",
    };
    let Value::Int(port) = master.get(1)? else {
        return None;
    };
    Some(Node {
        host: known_host(host, asked),
        port: u16::try_from(*port).ok()?,
    })
}

fn known_host(host: &str, asked: &str) -> String {
    let known = if matches!(host, "" | "?") {
        asked
    } else {
        host
    };
    known.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_slot_map_is_read_and_a_hidden_address_is_the_one_that_was_asked() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), bulk("id")]);
        let range = |from, to, node| Value::Array(vec![Value::Int(from), Value::Int(to), node]);
        let reply = Value::Array(vec![
            range(0, 99, node(bulk("10.0.0.1"), 7000)),
            range(100, 16383, node(Value::Nil, 7001)),
        ]);
        let at = |host: &str, port| Node {
            host: host.into(),
            port,
        };
        let slot_map = SlotMap(vec![
            (0, 99, at("10.0.0.1", 7000)),
            (100, 16383, at("asked", 7001)),
        ]);
        assert_eq!(read_slot_map(&reply, "asked"), Some(slot_map));
    }

    #[test]
    fn a_reply_without_slots_is_no_slot_map() {
        for reply in [
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![Value::Array(vec![Value::Int(-1), Value::Int(99999)])]),
        ] {
            assert_eq!(read_slot_map(&reply, "asked"), None);
        }
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn a_hash_tag_stands_for_its_key() {
        assert_eq!(slot_of(b"{user}.a"), slot_of(b"user"));
        assert_eq!(slot_of(b"a{user}b}{c"), slot_of(b"user"));
        for whole in [&b"foo{}bar"[..], b"foo{bar", b"foo}bar{"] {
            assert_eq!(slot_of(whole), crc16(whole) % SLOTS as u16);
        }
    }

    fn read(text: &str) -> Option<Redirect> {
        let reply = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
        match reply {
            Ok(redis::Value::ServerError(error)) => redirect(&error, "asked"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn redirections_name_slot_and_node() {
        let node = |host: &str, port| Node {
            host: host.into(),
            port,
        };
        assert_eq!(
            read("MOVED 866 10.0.0.1:7001"),
            Some(Redirect::Moved(866, node("10.0.0.1", 7001)))
        );
        assert_eq!(
            read("ASK 866 ::1:7001"),
            Some(Redirect::Ask(node("::1", 7001)))
        );
        assert_eq!(
            read("MOVED 866 :7001"),
            Some(Redirect::Moved(866, node("asked", 7001)))
        );
        for other in [
            "ERR MOVED",
            "MOVED",
            "MOVED x 1:2",
            "MOVED 99999 h:1",
            "MOVED 1 h:x",
        ] {
            assert_eq!(read(other), None);
        }
    }
}
