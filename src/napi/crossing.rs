//! What both sides of the crossing agree on: the numbers that stand for methods, commands and scans,
//! and the layout of a batch. JS reads all of it once, from [`crossing`] (`lib/addon/crossing.js`).

use napi_derive::napi;

use crate::error::{REPEATED_ARGUMENTS, StoreError, late_message};
use crate::io::scan_request::ScanKind;
use crate::io::traffic::LATENCY_BOUNDS;
use crate::napi::options::names;
use crate::napi::recent_saves::RECENT_SAVES;
use crate::napi::recent_texts::RECENT;

/// The store's methods that a batch carries, by their numbers.
pub const METHODS: [&str; 11] = [
    "get",
    "set",
    "touch",
    "destroy",
    "update",
    "rotate",
    "sessionsOf",
    "countOf",
    "destroyAllOf",
    "reindex",
    "events",
];

/// The scans, by their numbers.
pub const SCANS: [(&str, ScanKind); 9] = [
    ("length", ScanKind::Length),
    ("ids", ScanKind::Ids),
    ("all", ScanKind::All),
    ("clear", ScanKind::Clear),
    ("clear of the index", ScanKind::ClearIndex),
    ("page", ScanKind::Page),
    ("idsPage", ScanKind::IdsPage),
    ("ping", ScanKind::Ping),
    ("rewrite", ScanKind::Rewrite),
];

// The commands, by their numbers.
pub const GET: u32 = 0;
pub const SET: u32 = 1;
pub const SET_XX: u32 = 2;
pub const PEXPIRE: u32 = 3;
pub const PERSIST: u32 = 4;
pub const DEL: u32 = 5;
/// GET that keeps what a save compares with.
pub const GET_BASE: u32 = 6;
/// SET of a new session; its next save compares.
pub const SET_NEW: u32 = 7;
// Saves that compare: see `OnConflict`.
pub const SAVE_MERGE: u32 = 8;
pub const SAVE_REPORT: u32 = 9;
pub const SAVE_GIVE_UP: u32 = 10;
/// PTTL, answered with its number.
pub const PTTL: u32 = 11;
/// PEXPIRE, or DEL for no time at all, answered with how many keys there were.
pub const END: u32 = 12;
/// A command on a key of an index; its words stand in the value, as JSON.
pub const INDEX: u32 = 13;
/// GET and PTTL, answered with the text as it is stored and the expiry beside it.
pub const GET_RECORD: u32 = 14;

/// Numbers of a call: its id, its method, its command, the lengths of its sid and its value, its
/// milliseconds to live, its store; for a save that compares the most milliseconds to live, and three of its
/// base: see `bases.rs`.
pub const PER_CALL: usize = 11;
/// Numbers of an answer: the id of its call, the length of its text, its expiry or number, its base: see
/// `answers.rs`.
pub const PER_ANSWER: usize = 4;
/// Answers that JS has room for.
pub const MAX_ANSWERS: usize = 1024;
/// Bases that a batch of them can have: one that is nearly full, and those of all answers.
pub const MAX_BASES: usize = 2 * MAX_ANSWERS;
/// The lengths of the parts that were replaced in a text are below this, if the text is a base in JS.
pub const MAX_REPLACED: usize = 32;

// In the place of the position of a base's text among those that crossed last:
/// the text stands behind the value.
pub const BASE_IS_IN_CALL: f64 = -1.0;
// Or, with a number in the place of the length:
/// the base is kept here, under this number;
pub const BASE_IS_KEPT: f64 = -2.0;
/// it is a copy of that;
pub const BASE_IS_COPY: f64 = -3.0;
/// it is that of the save with this id, which has no answer yet;
pub const BASE_IS_IN_FLIGHT: f64 = -4.0;
/// it is the base of this number among those that were saved last.
pub const BASE_IS_SAVED: f64 = -5.0;

// In the place of a text's length:
/// there is no text,
pub const NO_TEXT: f64 = -1.0;
/// `set` found its key gone,
pub const DISCARDED: f64 = -2.0;
/// the text stands among the others,
pub const OTHER: f64 = -3.0;
/// a save has kept what others changed,
pub const MERGED: f64 = -4.0;
/// a save may have overwritten it,
pub const UNMERGED: f64 = -5.0;
/// a save wrote nothing, because something else was stored.
pub const CONFLICT: f64 = -6.0;

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
    pub max_bases: u32,
    pub max_replaced: u32,
    pub recent: u32,
    pub recent_saves: u32,
    pub base_is_in_call: f64,
    pub base_is_kept: f64,
    pub base_is_copy: f64,
    pub base_is_in_flight: f64,
    pub base_is_saved: f64,
    pub discarded: f64,
    pub other: f64,
    pub merged: f64,
    pub unmerged: f64,
    pub conflict: f64,
    pub defaults: Defaults,
    pub names: Names,
    /// As in `io/traffic.rs`.
    pub latency_bounds: Vec<f64>,
    /// The message of a call to a closed store, after the name of the call.
    pub closed: String,
    /// Where Redis begins to repeat the arguments of a command that it does not know.
    pub repeated_arguments: &'static str,
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
    #[napi(js_name = "GET_BASE")]
    pub get_base: u32,
    #[napi(js_name = "SET_NEW")]
    pub set_new: u32,
    #[napi(js_name = "SAVE_MERGE")]
    pub save_merge: u32,
    #[napi(js_name = "SAVE_REPORT")]
    pub save_report: u32,
    #[napi(js_name = "SAVE_GIVE_UP")]
    pub save_give_up: u32,
    #[napi(js_name = "PTTL")]
    pub pttl: u32,
    #[napi(js_name = "END")]
    pub end: u32,
    #[napi(js_name = "INDEX")]
    pub index: u32,
    #[napi(js_name = "GET_RECORD")]
    pub get_record: u32,
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
    pub encryption: Vec<&'static str>,
    pub encryption_key: Vec<&'static str>,
    pub compression: Vec<&'static str>,
    pub cache: Vec<&'static str>,
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
            get_base: GET_BASE,
            set_new: SET_NEW,
            save_merge: SAVE_MERGE,
            save_report: SAVE_REPORT,
            save_give_up: SAVE_GIVE_UP,
            pttl: PTTL,
            end: END,
            index: INDEX,
            get_record: GET_RECORD,
        },
        per_call: PER_CALL as u32,
        per_answer: PER_ANSWER as u32,
        max_answers: MAX_ANSWERS as u32,
        max_bases: MAX_BASES as u32,
        max_replaced: MAX_REPLACED as u32,
        recent: RECENT as u32,
        recent_saves: RECENT_SAVES as u32,
        base_is_in_call: BASE_IS_IN_CALL,
        base_is_kept: BASE_IS_KEPT,
        base_is_copy: BASE_IS_COPY,
        base_is_in_flight: BASE_IS_IN_FLIGHT,
        base_is_saved: BASE_IS_SAVED,
        discarded: DISCARDED,
        other: OTHER,
        merged: MERGED,
        unmerged: UNMERGED,
        conflict: CONFLICT,
        defaults: Defaults {
            command_timeout: COMMAND_TIMEOUT,
            commands_queue_max_length: COMMANDS_QUEUE_MAX_LENGTH,
            commands_queue_max_bytes: COMMANDS_QUEUE_MAX_BYTES,
        },
        names: Names {
            server: names::SERVER.to_vec(),
            sentinel: names::SENTINEL.to_vec(),
            tls: names::TLS.to_vec(),
            encryption: names::ENCRYPTION.to_vec(),
            encryption_key: names::ENCRYPTION_KEY.to_vec(),
            compression: names::COMPRESSION.to_vec(),
            cache: names::CACHE.to_vec(),
        },
        latency_bounds: LATENCY_BOUNDS.map(|bound| bound as f64).to_vec(),
        closed: StoreError::closed("").message,
        repeated_arguments: REPEATED_ARGUMENTS,
    }
}

/// Returns the message of a call that `server` did not answer within `limit` milliseconds.
#[napi(js_name = "lateMessage", catch_unwind)]
pub fn late_message_for_js(call: String, server: String, limit: f64) -> String {
    late_message(&call, &server, limit)
}
