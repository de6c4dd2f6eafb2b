//! A save that writes only if the session is still stored as it was loaded, and what follows if it is
//! not (`concurrency`, `store.update`).

use std::borrow::Cow;
use std::mem::take;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use redis::{ServerError, Value};

use crate::error::Code;
use crate::redis::Batch;
use crate::session::expiry::Expiry;
use crate::session::patch::{Changes, Life, Patched, Traces};
use crate::session::seal::{Seal, Unopened, open_and_keep};

/// Compares and sets where SET knows no IFEQ. It only compares texts: `cjson` would make `{}` of `[]`.
/// `pcall`, so that an error of Redis is the reply and not an error of the script.
const SCRIPT: &str = "local stored = redis.pcall('GET', KEYS[1]) \
    if stored == ARGV[1] then return redis.pcall('SET', KEYS[1], ARGV[2], unpack(ARGV, 3)) end \
    return stored";

/// By what EVALSHA knows the script.
static SCRIPT_SHA1: LazyLock<String> = LazyLock::new(|| {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, SCRIPT.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
});

/// What a session was loaded with, or saved with last. Shared by the calls that save the session, one
/// after the other.
#[derive(Debug)]
pub struct Base(Mutex<Texts>);

#[derive(Clone, Debug)]
struct Texts {
    /// The text that is stored, as far as this session's owner knows.
    stored: Vec<u8>,
    /// What Redis has of it, if that is not the text itself.
    sealed: Option<Vec<u8>>,
    /// What the owner saved, if another text was stored because of others' changes.
    own: Option<Vec<u8>>,
}

impl Texts {
    /// What Redis has.
    fn in_redis(&self) -> &Vec<u8> {
        self.sealed.as_ref().unwrap_or(&self.stored)
    }

    /// What the owner's changes are compared with.
    fn base(&self) -> &[u8] {
        self.own.as_ref().unwrap_or(&self.stored)
    }
}

#[cfg(test)]
impl PartialEq for Base {
    fn eq(&self, other: &Base) -> bool {
        // They may be the same: one lock at a time.
        let stored = self.lock().stored.clone();
        stored == other.lock().stored
    }
}

impl Base {
    pub fn new(stored: Vec<u8>) -> Arc<Base> {
        Base::sealed(stored, None)
    }

    /// The same; `sealed` is what Redis has of the text, if that is not the text itself.
    pub fn sealed(stored: Vec<u8>, sealed: Option<Vec<u8>>) -> Arc<Base> {
        Arc::new(Base(Mutex::new(Texts {
            stored,
            sealed,
            own: None,
        })))
    }

    /// The same texts, for another session that was loaded with them.
    pub fn copy(&self) -> Arc<Base> {
        Arc::new(Base(Mutex::new(self.lock().clone())))
    }

    /// The length of its text, if there is but one: that which the owner saved is stored, and Redis has it
    /// as it is.
    pub fn plain_length(&self) -> Option<usize> {
        let texts = self.lock();
        let is_plain = texts.own.is_none() && texts.sealed.is_none();
        is_plain.then(|| texts.stored.len())
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        let texts = self.lock();
        let optional = [&texts.own, &texts.sealed].into_iter().flatten();
        size_of::<Base>() + texts.stored.len() + optional.map(Vec::len).sum::<usize>()
    }

    fn lock(&self) -> MutexGuard<'_, Texts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens if the session is not stored any more as it was loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OnConflict {
    /// There is nothing to compare with: the session is new.
    None,
    /// My changes are put over what is stored.
    Merge,
    /// The session is written all the same, and the members that it overwrites are reported.
    Report,
    /// Nothing is written, and the caller learns of it (`update`).
    GiveUp,
}

/// How a server compares and sets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Form {
    /// By `SET … IFEQ`.
    #[default]
    IfEq,
    /// By a script.
    Script,
    /// Not at all: it lacks the right or the command. The last save wins.
    Unsupported,
}

/// How long the key lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KeyLife {
    /// So many milliseconds, at least 1.
    In(i64),
    Never,
    /// As long as it would have.
    Kept,
}

/// A save that compares.
#[derive(Debug)]
pub struct CompareAndSet {
    base: Arc<Base>,
    on_conflict: OnConflict,
    /// What the caller saves.
    mine: Vec<u8>,
    life: KeyLife,
    /// The most milliseconds that the key may live, whatever another request's cookie says; `None` if
    /// the expiry does not follow the cookie.
    longest: Option<f64>,
    /// What `Date.now()` returned at the call, in milliseconds since the epoch.
    now: f64,
    /// What seals the session, and the key that it is bound to.
    seal: Option<(Seal, Vec<u8>)>,
    attempt: Option<Attempt>,
    /// Whether an attempt was sent over a connection that broke: it may have been carried out.
    is_doubtful: bool,
    /// Whether the server does not have the script, so that its text must be sent.
    needs_text: bool,
    /// Whether others' changes are in what is written, or could not be.
    outcome: Option<Saved>,
}

/// What is sent.
#[derive(Debug)]
struct Attempt {
    form: Form,
    /// What was found instead of the base.
    expected: Option<Vec<u8>>,
    /// With others' changes; `None` if it is what the caller saves.
    patched: Option<Vec<u8>>,
    /// What Redis is given of the text, if that is not the text itself.
    sealed: Option<Vec<u8>>,
    life: KeyLife,
    /// Whether it only reads what is stored, because IFEQ does not say that.
    is_look: bool,
}

/// What became of a save.
#[derive(Clone, Debug, PartialEq)]
pub enum Saved {
    /// It was written as it is.
    AsIs,
    /// Others' changes were kept.
    Merged,
    /// Others' changes may be lost, because the server cannot compare, or what it had stored was no
    /// session.
    Unmerged,
    /// These members of others' are lost.
    Overwritten(Vec<String>),
    /// The key is gone; nothing was written.
    Discarded,
    /// Something else is stored; nothing was written ([`OnConflict::GiveUp`]).
    Conflict,
}

/// What follows from a reply.
#[derive(Debug, PartialEq)]
pub enum Next {
    Done(Saved),
    /// Send it again. If something was learned of the server, it holds for other calls, too.
    Again(Option<Form>),
    /// I have changed nothing, and others have: only the expiry must move.
    Touch,
    /// The connection broke under the save, and others have written since: nobody can tell whether the
    /// save was carried out.
    Unknown,
    /// What is stored does not open.
    Sealed(Unopened),
}

impl CompareAndSet {
    pub fn new(
        base: Arc<Base>,
        on_conflict: OnConflict,
        mine: Vec<u8>,
        life: KeyLife,
        (longest, now): (Option<f64>, f64),
    ) -> CompareAndSet {
        CompareAndSet {
            base,
            on_conflict,
            mine,
            life,
            longest,
            now,
            seal: None,
            attempt: None,
            is_doubtful: false,
            needs_text: false,
            outcome: None,
        }
    }

    /// The same, of a session at `key` that is sealed.
    pub fn sealed_by(self, seal: Option<&Seal>, key: &[u8]) -> CompareAndSet {
        CompareAndSet {
            seal: seal.map(|seal| (seal.clone(), key.to_vec())),
            ..self
        }
    }

    /// The text of what is stored, and what is stored, if that is not the text itself.
    fn open(&self, stored: Vec<u8>) -> Result<(Vec<u8>, Option<Vec<u8>>), Unopened> {
        let (seal, key) = match &self.seal {
            Some((seal, key)) => (Some(seal), &**key),
            None => (None, &[][..]),
        };
        open_and_keep(seal, key, stored)
    }

    /// What Redis is given by an attempt.
    fn value<'s>(&'s self, attempt: &'s Attempt) -> &'s Vec<u8> {
        let text = attempt.patched.as_ref().unwrap_or(&self.mine);
        attempt.sealed.as_ref().unwrap_or(text)
    }

    /// About how many bytes are sent.
    pub fn size(&self) -> usize {
        2 * self.mine.len()
    }

    /// Decides what is sent to a server that compares in this form. Must be called before
    /// [`CompareAndSet::add_to`].
    pub fn prepare(&mut self, form: Form) {
        let form = match (self.on_conflict, form) {
            // It must not write without comparing: the server's refusal is its answer.
            (OnConflict::GiveUp, Form::Unsupported) => Form::Script,
            _ => form,
        };
        if let Some(attempt) = &mut self.attempt {
            attempt.form = form;
            return;
        }
        let texts = self.base.lock();
        let patched = texts
            .own
            .as_deref()
            .filter(|_| self.on_conflict == OnConflict::Merge)
            .and_then(|own| Changes::between(own, &self.mine)?.apply(&texts.stored, self.now));
        drop(texts);
        self.attempt = Some(self.attempt(form, None, patched));
    }

    fn attempt(&self, form: Form, expected: Option<Vec<u8>>, patched: Option<Patched>) -> Attempt {
        let text = patched.as_ref().map_or(&self.mine, |patched| &patched.text);
        let sealed = match &self.seal {
            Some((seal, key)) => match seal.seal(key, text) {
                Cow::Owned(sealed) => Some(sealed),
                Cow::Borrowed(_) => None,
            },
            None => None,
        };
        Attempt {
            form,
            expected,
            life: patched
                .as_ref()
                .map_or(self.life, |patched| self.life_by(patched.life)),
            patched: patched.map(|patched| patched.text),
            sealed,
            is_look: false,
        }
    }

    /// Adds the command to a batch.
    pub fn add_to(&self, key: &[u8], batch: &mut Batch) {
        let Some(attempt) = &self.attempt else {
            // It cannot be: each call is prepared when it is sent.
            return batch.add(&[b"GET", key]);
        };
        let Attempt {
            form,
            expected,
            life,
            is_look,
            ..
        } = attempt;
        if *is_look {
            return batch.add(&[b"GET", key]);
        }
        let text: &[u8] = self.value(attempt);
        let texts = self.base.lock();
        let expected: &[u8] = expected.as_ref().unwrap_or_else(|| texts.in_redis());
        let script: &[&[u8]] = if self.needs_text {
            &[b"EVAL", SCRIPT.as_bytes()]
        } else {
            &[b"EVALSHA", SCRIPT_SHA1.as_bytes()]
        };
        let save: &[&[u8]] = match (self.on_conflict, form) {
            (OnConflict::None, _) => &[b"SET", key, text],
            (_, Form::Unsupported) => &[b"SET", key, text, b"XX"],
            (OnConflict::Report, _) => &[b"SET", key, text, b"XX", b"GET"],
            (_, Form::IfEq) => &[b"SET", key, text, b"IFEQ", expected],
            (_, Form::Script) => &[script[0], script[1], b"1", key, expected, text],
        };
        let mut digits = itoa::Buffer::new();
        let life: &[&[u8]] = match *life {
            KeyLife::In(ms) => &[b"PX", digits.format(ms).as_bytes()],
            KeyLife::Never => &[],
            KeyLife::Kept => &[b"KEEPTTL"],
        };
        batch.add_parts(save, life);
    }

    /// The connection broke after this was sent.
    pub fn lost(&mut self) {
        let may_be_done = |attempt: &Attempt| !attempt.is_look;
        self.is_doubtful |= self.attempt.as_ref().is_some_and(may_be_done);
    }

    /// Whether it may be sent once more after the connection broke. An update may have been carried out,
    /// and another may have undone it since, such as a count that goes up and down: then what is stored
    /// is again what it was, and the update would count twice.
    pub fn can_be_sent_again(&self) -> bool {
        self.on_conflict != OnConflict::GiveUp
            || self.attempt.as_ref().is_some_and(|attempt| attempt.is_look)
    }

    /// Reads an error of the server; `None` if it is the call's answer.
    pub fn read_error(&mut self, error: &ServerError) -> Option<Next> {
        let form = self.attempt.as_ref()?.form;
        let details = error.details().unwrap_or_default();
        let (is_syntax, is_unknown) = (
            details.starts_with("syntax error"),
            details.starts_with("unknown command"),
        );
        let next = match (form, Code::of_server(error.code())) {
            _ if self.on_conflict == OnConflict::None => return None,
            (Form::Script, _) if error.code() == "NOSCRIPT" && !self.needs_text => {
                self.needs_text = true;
                return Some(Next::Again(None));
            }
            (Form::IfEq | Form::Script, Code::NoPermission) => Form::Unsupported,
            (Form::Script, Code::ServerError) if is_unknown => Form::Unsupported,
            (Form::IfEq | Form::Script, Code::ServerError) if is_syntax => match self.on_conflict {
                // Redis before 6.2 knows no SET with GET.
                OnConflict::Report => Form::Unsupported,
                _ => Form::Script,
            },
            _ => return None,
        };
        if self.on_conflict == OnConflict::GiveUp && next == Form::Unsupported {
            return None;
        }
        Some(Next::Again(Some(next)))
    }

    /// Reads a reply. `None` if the command cannot have it.
    pub fn read(&mut self, reply: Value) -> Option<Next> {
        // Whether it writes only what is stored as it was loaded.
        let is_conditional = matches!(self.on_conflict, OnConflict::Merge | OnConflict::GiveUp);
        let attempt = self.attempt.as_mut()?;
        let is_look = take(&mut attempt.is_look);
        match (attempt.form, reply) {
            (_, Value::BulkString(stored)) => Some(self.compared(stored)),
            (Form::IfEq, Value::Nil) if !is_look && is_conditional => {
                // Something else is stored, or nothing.
                attempt.is_look = true;
                Some(Next::Again(None))
            }
            (_, Value::Nil) => Some(Next::Done(Saved::Discarded)),
            (_, Value::Okay) if is_look => None,
            (Form::Unsupported, Value::Okay) if self.on_conflict != OnConflict::None => {
                self.outcome = Some(Saved::Unmerged);
                Some(self.written())
            }
            (_, Value::Okay) => Some(self.written()),
            _ => None,
        }
    }

    /// What is stored, or was when this was written ([`OnConflict::Report`]).
    fn compared(&mut self, stored: Vec<u8>) -> Next {
        let Some(attempt) = &self.attempt else {
            return Next::Unknown;
        };
        let is_written = self.is_doubtful && stored == *self.value(attempt);
        let texts = self.base.lock();
        let expected = attempt.expected.as_ref();
        let is_expected = stored == *expected.unwrap_or_else(|| texts.in_redis());
        if self.on_conflict == OnConflict::Report {
            if !is_expected && !is_written {
                let changes = Changes::between(texts.base(), &self.mine);
                let names = changes
                    .zip(self.open(stored).ok())
                    .map(|(changes, (theirs, _))| changes.overwritten_in(&theirs));
                self.outcome = names
                    .filter(|names| !names.is_empty())
                    .map(Saved::Overwritten);
            }
            drop(texts);
            return self.written();
        }
        drop(texts);
        if is_expected {
            // It is again what it was.
            return Next::Again(None);
        }
        if self.on_conflict == OnConflict::GiveUp {
            // What is stored may be mine; or another's who has made the same of the session, such as
            // the next number of a counter. Then mine must be made of that.
            return if self.is_doubtful {
                Next::Unknown
            } else {
                Next::Done(Saved::Conflict)
            };
        }
        if is_written {
            return self.written();
        }
        match self.open(stored) {
            Ok((text, sealed)) => self.merge(text, sealed),
            Err(why) => Next::Sealed(why),
        }
    }

    /// Puts my changes over what is stored: a text, and what Redis has of it, if that is not the text
    /// itself.
    fn merge(&mut self, stored: Vec<u8>, sealed: Option<Vec<u8>>) -> Next {
        let texts = self.base.lock();
        let changes = Changes::between(texts.base(), &self.mine);
        let traces = changes.as_ref().map(|changes| changes.found_in(&stored));
        let is_unchanged = changes.as_ref().is_some_and(Changes::is_empty);
        let patched = changes.and_then(|changes| changes.apply(&stored, self.now));
        drop(texts);
        if take(&mut self.is_doubtful) {
            match traces {
                Some(Traces::None) => {}
                Some(Traces::All) => {
                    self.stored(stored, sealed);
                    return Next::Done(Saved::Merged);
                }
                Some(Traces::Some) | None => return Next::Unknown,
            }
        }
        if is_unchanged {
            if let Some(Patched { life, .. }) = patched {
                self.life = self.life_by(life);
            }
            self.stored(stored, sealed);
            return Next::Touch;
        }
        self.outcome = Some(match patched {
            Some(_) => Saved::Merged,
            None => Saved::Unmerged,
        });
        let form = self
            .attempt
            .as_ref()
            .map_or(Form::IfEq, |attempt| attempt.form);
        self.attempt = Some(self.attempt(form, Some(sealed.unwrap_or(stored)), patched));
        Next::Again(None)
    }

    /// Another text is stored than mine: the next save compares with that.
    fn stored(&mut self, stored: Vec<u8>, sealed: Option<Vec<u8>>) {
        let mut texts = self.base.lock();
        texts.own = Some(take(&mut self.mine));
        texts.stored = stored;
        texts.sealed = sealed;
    }

    /// It is written: this is what the session's next save compares with.
    fn written(&mut self) -> Next {
        let (patched, sealed) = match self.attempt.take() {
            Some(attempt) => (attempt.patched, attempt.sealed),
            None => (None, None),
        };
        match patched {
            Some(patched) => self.stored(patched, sealed),
            None => {
                let mut texts = self.base.lock();
                texts.own = None;
                texts.stored = take(&mut self.mine);
                texts.sealed = sealed;
            }
        }
        Next::Done(self.outcome.take().unwrap_or(Saved::AsIs))
    }

    /// How long the key lives, if another request may have given the session another life.
    fn life_by(&self, life: Life) -> KeyLife {
        match (life, self.longest) {
            (Life::Theirs(age), Some(longest)) => KeyLife::In(age.min(longest).max(1.0) as i64),
            (Life::Kept, Some(_)) => KeyLife::Kept,
            (Life::Mine, _) | (_, None) => self.life,
        }
    }

    /// What a touch does, which takes the place of a save that changes nothing.
    pub fn touch(&self) -> Option<Expiry> {
        match self.life {
            KeyLife::In(ms) => Some(Expiry::In(ms)),
            KeyLife::Never => Some(Expiry::Never),
            KeyLife::Kept => None,
        }
    }

    /// Whether later calls on the session wait for this one.
    pub fn takes_turn(&self) -> bool {
        self.on_conflict != OnConflict::None
    }

    /// The base of a session that had none.
    pub fn new_base(&self) -> Option<Arc<Base>> {
        (self.on_conflict == OnConflict::None).then(|| self.base.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"cookie":{"originalMaxAge":9,"expires":"a"},"n":1}"#;
    const MINE: &str = r#"{"cookie":{"originalMaxAge":9,"expires":"b"},"n":2}"#;
    const THEIRS: &str = r#"{"cookie":{"originalMaxAge":9,"expires":"c"},"n":1,"m":1}"#;
    const BOTH: &str = r#"{"cookie":{"originalMaxAge":9,"expires":"b"},"n":2,"m":1}"#;

    fn save(base: &Arc<Base>, on_conflict: OnConflict, mine: &str) -> CompareAndSet {
        let times = (Some(f64::INFINITY), 0.0);
        let life = KeyLife::In(5);
        CompareAndSet::new(base.clone(), on_conflict, mine.into(), life, times)
    }

    fn sent(save: &mut CompareAndSet, form: Form) -> String {
        save.prepare(form);
        let mut batch = Batch::default();
        save.add_to(b"k", &mut batch);
        assert_eq!(batch.replies(), 1);
        let text = String::from_utf8(batch.into_bytes()).unwrap();
        let arguments = text
            .split("\r\n")
            .filter(|part| !part.starts_with(['*', '$']));
        arguments.collect::<Vec<_>>().join(" ").trim().to_string()
    }

    fn stored(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    /// What follows if a save by IFEQ writes nothing, and `reply` is what is stored.
    fn not_equal(save: &mut CompareAndSet, reply: Value) -> Option<Next> {
        assert_eq!(save.read(Value::Nil), Some(Next::Again(None)));
        assert_eq!(sent(save, Form::IfEq), "GET k");
        save.read(reply)
    }

    fn error(code: &str, details: &str) -> ServerError {
        // As the parser makes it of a reply.
        let line = format!("-{code} {details}\r\n");
        match redis::parse_redis_value(line.as_bytes()) {
            Ok(Value::ServerError(error)) => error,
            other => panic!("{other:?} is no error"),
        }
    }

    #[test]
    fn a_save_compares_by_ifeq_or_by_the_script() {
        let base = Base::new("old".into());
        let mut merge = save(&base, OnConflict::Merge, "new");
        assert_eq!(sent(&mut merge, Form::IfEq), "SET k new IFEQ old PX 5");
        let by_script = sent(&mut merge, Form::Script);
        assert!(by_script.starts_with("EVALSHA "), "{by_script}");
        assert!(by_script.ends_with(" 1 k old new PX 5"), "{by_script}");
        assert_eq!(sent(&mut merge, Form::Unsupported), "SET k new XX PX 5");
        let mut report = save(&base, OnConflict::Report, "new");
        assert_eq!(sent(&mut report, Form::Script), "SET k new XX GET PX 5");
        let mut new = save(&base, OnConflict::None, "new");
        assert_eq!(sent(&mut new, Form::IfEq), "SET k new PX 5");
    }

    #[test]
    fn an_update_is_refused_and_never_written_without_comparing() {
        let base = Base::new("old".into());
        let mut update = save(&base, OnConflict::GiveUp, "new");
        let sent = sent(&mut update, Form::Unsupported);
        assert!(sent.starts_with("EVALSHA "), "{sent}");
        assert_eq!(update.read_error(&error("NOPERM", "no")), None);
    }

    #[test]
    fn a_server_without_ifeq_gets_the_script_and_its_text_if_it_has_forgotten_it() {
        let base = Base::new("old".into());
        let mut merge = save(&base, OnConflict::Merge, "new");
        sent(&mut merge, Form::IfEq);
        let next = merge.read_error(&error("ERR", "syntax error"));
        assert_eq!(next, Some(Next::Again(Some(Form::Script))));
        sent(&mut merge, Form::Script);
        let next = merge.read_error(&error("NOSCRIPT", "No matching script."));
        assert_eq!(next, Some(Next::Again(None)));
        assert!(sent(&mut merge, Form::Script).starts_with("EVAL local stored"));
    }

    #[test]
    fn without_the_right_the_last_save_wins_and_says_so() {
        let base = Base::new("old".into());
        let mut merge = save(&base, OnConflict::Merge, "new");
        sent(&mut merge, Form::Script);
        let next = merge.read_error(&error("NOPERM", "no permissions"));
        assert_eq!(next, Some(Next::Again(Some(Form::Unsupported))));
        sent(&mut merge, Form::Unsupported);
        assert_eq!(merge.read(Value::Okay), Some(Next::Done(Saved::Unmerged)));
    }

    #[test]
    fn an_update_without_the_right_is_an_error() {
        let base = Base::new("old".into());
        let mut update = save(&base, OnConflict::GiveUp, "new");
        sent(&mut update, Form::Script);
        assert_eq!(update.read_error(&error("NOPERM", "no permissions")), None);
    }

    #[test]
    fn other_errors_are_the_answer() {
        let base = Base::new("old".into());
        let mut merge = save(&base, OnConflict::Merge, "new");
        sent(&mut merge, Form::IfEq);
        let wrong = error("WRONGTYPE", "Operation against a key");
        assert_eq!(merge.read_error(&wrong), None);
        let invalid = error("ERR", "invalid expire time in 'set' command");
        assert_eq!(merge.read_error(&invalid), None);
    }

    #[test]
    fn an_unchanged_session_is_written_and_the_next_save_compares_with_that() {
        let base = Base::new(OLD.into());
        let mut first = save(&base, OnConflict::Merge, MINE);
        sent(&mut first, Form::IfEq);
        assert_eq!(first.read(Value::Okay), Some(Next::Done(Saved::AsIs)));
        let mut second = save(&base, OnConflict::Merge, "{}");
        let expected = format!("SET k {{}} IFEQ {MINE} PX 5");
        assert_eq!(sent(&mut second, Form::IfEq), expected);
    }

    #[test]
    fn others_changes_are_kept_and_the_next_save_keeps_them_too() {
        let base = Base::new(OLD.into());
        let mut first = save(&base, OnConflict::Merge, MINE);
        sent(&mut first, Form::Script);
        assert_eq!(first.read(stored(THEIRS)), Some(Next::Again(None)));
        assert!(sent(&mut first, Form::Script).ends_with(&format!("{THEIRS} {BOTH} PX 5")));
        assert_eq!(first.read(Value::Okay), Some(Next::Done(Saved::Merged)));
        // The owner of the session does not see `m`, and has not deleted it.
        let mut second = save(
            &base,
            OnConflict::Merge,
            &MINE.replace("\"n\":2", "\"n\":3"),
        );
        let both = BOTH.replace("\"n\":2", "\"n\":3");
        assert!(sent(&mut second, Form::Script).ends_with(&format!("{BOTH} {both} PX 5")));
    }

    #[test]
    fn a_save_that_changes_nothing_only_moves_the_expiry() {
        let base = Base::new(OLD.into());
        let mut merge = save(&base, OnConflict::Merge, &OLD.replace("\"a\"", "\"b\""));
        sent(&mut merge, Form::IfEq);
        assert_eq!(not_equal(&mut merge, stored(THEIRS)), Some(Next::Touch));
        assert_eq!(merge.touch(), Some(Expiry::In(5)));
    }

    #[test]
    fn a_look_that_is_lost_leaves_no_doubt() {
        let base = Base::new(OLD.into());
        let mut merge = save(&base, OnConflict::Merge, MINE);
        sent(&mut merge, Form::IfEq);
        assert_eq!(merge.read(Value::Nil), Some(Next::Again(None)));
        merge.lost();
        assert_eq!(sent(&mut merge, Form::IfEq), "GET k");
        let theirs = THEIRS.replace("\"n\":1", "\"n\":7");
        assert_eq!(merge.read(stored(&theirs)), Some(Next::Again(None)));
    }

    #[test]
    fn a_save_that_changes_nothing_keeps_the_age_that_another_gave_the_session() {
        let base = Base::new(OLD.into());
        let mine = OLD.replace("\"a\"", "\"b\"").into();
        let times = (Some(f64::INFINITY), 0.0);
        let mut merge = CompareAndSet::new(base, OnConflict::Merge, mine, KeyLife::In(5), times);
        sent(&mut merge, Form::IfEq);
        let theirs = THEIRS.replace("\"originalMaxAge\":9", "\"originalMaxAge\":60000");
        assert_eq!(not_equal(&mut merge, stored(&theirs)), Some(Next::Touch));
        assert_eq!(merge.touch(), Some(Expiry::In(60000)));
    }

    #[test]
    fn a_session_that_is_gone_stays_gone() {
        let base = Base::new(OLD.into());
        for form in [Form::IfEq, Form::Script, Form::Unsupported] {
            let mut merge = save(&base, OnConflict::Merge, MINE);
            sent(&mut merge, form);
            let next = match form {
                Form::IfEq => not_equal(&mut merge, Value::Nil),
                _ => merge.read(Value::Nil),
            };
            assert_eq!(next, Some(Next::Done(Saved::Discarded)));
        }
    }

    #[test]
    fn a_save_that_was_carried_out_before_the_connection_broke_is_done() {
        for form in [Form::IfEq, Form::Script] {
            let base = Base::new(OLD.into());
            let mut merge = save(&base, OnConflict::Merge, MINE);
            sent(&mut merge, form);
            merge.lost();
            sent(&mut merge, form);
            let next = match form {
                Form::IfEq => not_equal(&mut merge, stored(MINE)),
                _ => merge.read(stored(MINE)),
            };
            assert_eq!(next, Some(Next::Done(Saved::AsIs)));
        }
    }

    #[test]
    fn after_a_broken_connection_others_changes_tell_whether_the_save_was_carried_out() {
        let after = |theirs: &str| {
            let base = Base::new(OLD.into());
            let mut merge = save(&base, OnConflict::Merge, MINE);
            sent(&mut merge, Form::IfEq);
            merge.lost();
            sent(&mut merge, Form::IfEq);
            not_equal(&mut merge, stored(theirs)).unwrap()
        };
        assert_eq!(after(BOTH), Next::Done(Saved::Merged));
        assert_eq!(after(THEIRS), Next::Again(None));
        assert_eq!(after(&THEIRS.replace("\"n\":1", "\"n\":7")), Next::Unknown);
    }

    #[test]
    fn an_update_gives_up_if_another_wrote_and_after_a_broken_connection_cannot_tell() {
        let base = Base::new(OLD.into());
        let mut update = save(&base, OnConflict::GiveUp, MINE);
        sent(&mut update, Form::IfEq);
        assert_eq!(
            not_equal(&mut update, stored(THEIRS)),
            Some(Next::Done(Saved::Conflict))
        );
        let mut update = save(&base, OnConflict::GiveUp, MINE);
        sent(&mut update, Form::IfEq);
        update.lost();
        sent(&mut update, Form::IfEq);
        assert_eq!(not_equal(&mut update, stored(BOTH)), Some(Next::Unknown));
        // Another update may have made the same of the session.
        sent(&mut update, Form::IfEq);
        assert_eq!(not_equal(&mut update, stored(MINE)), Some(Next::Unknown));
    }

    #[test]
    fn an_update_is_not_sent_again_but_its_look_is() {
        let base = Base::new(OLD.into());
        let mut update = save(&base, OnConflict::GiveUp, MINE);
        sent(&mut update, Form::IfEq);
        assert!(!update.can_be_sent_again());
        assert_eq!(update.read(Value::Nil), Some(Next::Again(None)));
        assert!(update.can_be_sent_again());
        let mut merge = save(&base, OnConflict::Merge, MINE);
        sent(&mut merge, Form::IfEq);
        assert!(merge.can_be_sent_again());
    }

    #[test]
    fn what_is_overwritten_is_reported() {
        let base = Base::new(OLD.into());
        let mut report = save(&base, OnConflict::Report, MINE);
        sent(&mut report, Form::IfEq);
        let names = vec!["m".to_string()];
        let next = report.read(stored(THEIRS));
        assert_eq!(next, Some(Next::Done(Saved::Overwritten(names))));
        let mut next = save(&base, OnConflict::Report, MINE);
        sent(&mut next, Form::IfEq);
        assert_eq!(next.read(stored(MINE)), Some(Next::Done(Saved::AsIs)));
    }

    #[test]
    fn what_is_no_session_is_overwritten_and_said_so() {
        let base = Base::new(OLD.into());
        let mut merge = save(&base, OnConflict::Merge, MINE);
        sent(&mut merge, Form::IfEq);
        assert_eq!(not_equal(&mut merge, stored("[]")), Some(Next::Again(None)));
        let expected = format!("SET k {MINE} IFEQ [] PX 5");
        assert_eq!(sent(&mut merge, Form::IfEq), expected);
        assert_eq!(merge.read(Value::Okay), Some(Next::Done(Saved::Unmerged)));
    }

    #[test]
    fn the_life_that_another_request_gave_the_session_is_bounded() {
        let theirs = THEIRS.replace("\"originalMaxAge\":9", "\"originalMaxAge\":60000");
        let attempt = |longest| {
            let base = Base::new(OLD.into());
            let times = (longest, 0.0);
            let (life, mine) = (KeyLife::In(5), MINE.into());
            let mut merge = CompareAndSet::new(base, OnConflict::Merge, mine, life, times);
            sent(&mut merge, Form::IfEq);
            assert_eq!(
                not_equal(&mut merge, stored(&theirs)),
                Some(Next::Again(None))
            );
            sent(&mut merge, Form::IfEq)
        };
        assert!(attempt(Some(f64::INFINITY)).ends_with("PX 60000"));
        assert!(attempt(Some(1000.0)).ends_with("PX 1000"));
        // The expiry does not follow the cookie.
        assert!(attempt(None).ends_with("PX 5"));
    }
}
