//! What both sides of the crossing agree on: the numbers that stand for methods, commands and scans,
//! and the layout of a batch. JS reads all of it once, from [`crossing`] (`lib/native/crossing.js`).

use napi_derive::napi;

use crate::error::StoreError;
use crate::io::scan_request::ScanKind;
use crate::io::traffic::LATENCY_BOUNDS;
use crate::napi::options::names;

/// The store's methods that a batch carries, by their numbers.
pub const METHODS: [&str; 4] = ["get", "set", "touch", "destroy"];

/// The scans, by their numbers.
pub const SCANS: [(&str, ScanKind); 6] = [
    ("length", ScanKind::Length),
    ("ids", ScanKind::Ids),
    ("all", ScanKind::All),
    ("clear", ScanKind::Clear),
    ("page", ScanKind::Page),
    ("ping", ScanKind::Ping),
];

// The commands, by their numbers.
pub const GET: u32 = 0;
pub const SET: u32 = 1;
pub const SET_XX: u32 = 2;
pub const PEXPIRE: u32 = 3;
pub const PERSIST: u32 = 4;
pub const DEL: u32 = 5;

/// Numbers of a call: its id, its method, its command, the lengths of its sid and its value, its
/// milliseconds to live, its store.
pub const PER_CALL: usize = 7;
/// Numbers of an answer: the id of its call, the length of its text, its expiry.
pub const PER_ANSWER: usize = 3;
/// Answers that JS has room for.
pub const MAX_ANSWERS: usize = 1024;

// In the place of a text's length:
/// there is no text,
pub const NO_TEXT: f64 = -1.0;
/// `set` found its key gone,
pub const DISCARDED: f64 = -2.0;
/// the text stands among the others.
pub const OTHER: f64 = -3.0;

/// The default of `commandTimeout`, in milliseconds.
pub const COMMAND_TIMEOUT: f64 = 5000.0;
/// The default of `commandsQueueMaxLength`, in calls.
pub const COMMANDS_QUEUE_MAX_LENGTH: u32 = 250_000;
/// The default of `commandsQueueMaxBytes`.
pub const COMMANDS_QUEUE_MAX_BYTES: u32 = 256 * 1024 * 1024;

/// The constants of this file, for JS.
#[napi(object, object_from_js = false)]
pub struct Crossing {
    pub methods: Vec<&'static str>,
    pub scans: Vec<&'static str>,
    pub commands: Commands,
    pub per_call: u32,
    pub per_answer: u32,
    pub max_answers: u32,
    pub discarded: f64,
    pub other: f64,
    pub defaults: Defaults,
    pub names: Names,
    /// As in `io/traffic.rs`.
    pub latency_bounds: Vec<f64>,
    /// The message of a call to a closed store, after the name of the call.
    pub closed: String,
}

/// The commands by their names.
#[napi(object, object_from_js = false)]
pub struct Commands {
    #[napi(js_name = "GET")]
    pub get: u32,
    #[napi(js_name = "SET")]
    pub set: u32,
    #[napi(js_name = "SET_XX")]
    pub set_xx: u32,
    #[napi(js_name = "PEXPIRE")]
    pub pexpire: u32,
    #[napi(js_name = "PERSIST")]
    pub persist: u32,
    #[napi(js_name = "DEL")]
    pub del: u32,
}

/// Options that JS needs, if the app gives none.
#[napi(object, object_from_js = false)]
pub struct Defaults {
    pub command_timeout: f64,
    pub commands_queue_max_length: u32,
    pub commands_queue_max_bytes: u32,
}

/// The names that an option with several parts knows.
#[napi(object, object_from_js = false)]
pub struct Names {
    pub server: Vec<&'static str>,
    pub sentinel: Vec<&'static str>,
    pub tls: Vec<&'static str>,
}

/// Returns the constants of the crossing.
#[napi(catch_unwind)]
pub fn crossing() -> Crossing {
    Crossing {
        methods: METHODS.to_vec(),
        scans: SCANS.iter().map(|(name, _)| *name).collect(),
        commands: Commands {
            get: GET,
            set: SET,
            set_xx: SET_XX,
            pexpire: PEXPIRE,
            persist: PERSIST,
            del: DEL,
        },
        per_call: PER_CALL as u32,
        per_answer: PER_ANSWER as u32,
        max_answers: MAX_ANSWERS as u32,
        discarded: DISCARDED,
        other: OTHER,
        defaults: Defaults {
            command_timeout: COMMAND_TIMEOUT,
            commands_queue_max_length: COMMANDS_QUEUE_MAX_LENGTH,
            commands_queue_max_bytes: COMMANDS_QUEUE_MAX_BYTES,
        },
        names: Names {
            server: names::SERVER.to_vec(),
            sentinel: names::SENTINEL.to_vec(),
            tls: names::TLS.to_vec(),
        },
        latency_bounds: LATENCY_BOUNDS.map(|bound| bound as f64).to_vec(),
        closed: StoreError::closed("").message,
    }
}
