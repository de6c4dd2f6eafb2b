//! JSON as V8's `JSON.parse` reads it: UTF-8 with U+FFFD for what is none, lone surrogates, numbers
//! of any size, and of two members of one name the last. (serde_json refuses some of that, so it
//! cannot say what an app would see.)

/// A value. Numbers are kept as their text, strings as UTF-16.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Boolean(bool),
    Number(String),
    String(Vec<u16>),
    Array(Vec<Json>),
    Object(Members),
}

/// In the order an app sees them (but that integers come first there).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    list: Vec<(Vec<u16>, Json)>,
    /// The names that stood there twice.
    pub doubled: Vec<Vec<u16>>,
}

impl Members {
    pub fn get(&self, name: &str) -> Option<&Json> {
        let name: Vec<u16> = name.encode_utf16().collect();
        let member = self.list.iter().find(|(own, _)| *own == name);
        member.map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        let name: Vec<u16> = name.encode_utf16().collect();
        let member = self.list.iter_mut().find(|(own, _)| *own == name);
        member.map(|(_, value)| value)
    }

    /// Whether a name stands there more than once.
    pub fn is_doubled(&self, name: &str) -> bool {
        self.doubled.contains(&name.encode_utf16().collect())
    }

    /// Whether a name holds half of a surrogate pair.
    pub fn has_broken_name(&self) -> bool {
        self.list
            .iter()
            .any(|(name, _)| String::from_utf16(name).is_err())
    }

    fn put(&mut self, name: Vec<u16>, value: Json) {
        match self.list.iter_mut().find(|(own, _)| *own == name) {
            Some((_, place)) => {
                *place = value;
                self.doubled.push(name);
            }
            None => self.list.push((name, value)),
        }
    }
}

/// What `JSON.parse` would return; `None` where it would throw.
pub fn parse(text: &[u8]) -> Option<Json> {
    let text = String::from_utf8_lossy(text);
    let mut reader = Reader(text.as_bytes());
    let value = reader.value()?;
    reader.skip_space();
    reader.0.is_empty().then_some(value)
}

struct Reader<'t>(&'t [u8]);

impl Reader<'_> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn take(&mut self, word: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    fn value(&mut self) -> Option<Json> {
        self.skip_space();
        match self.0.first()? {
            b'n' => self.take(b"null").map(|()| Json::Null),
            b't' => self.take(b"true").map(|()| Json::Boolean(true)),
            b'f' => self.take(b"false").map(|()| Json::Boolean(false)),
            b'"' => self.string().map(Json::String),
            b'[' => self.array(),
            b'{' => self.object(),
            _ => self.number(),
        }
    }

    fn array(&mut self) -> Option<Json> {
        let mut elements = Vec::new();
        self.take(b"[")?;
        self.skip_space();
        if self.take(b"]").is_some() {
            return Some(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            self.skip_space();
            if self.take(b"]").is_some() {
                return Some(Json::Array(elements));
            }
            self.take(b",")?;
        }
    }

    fn object(&mut self) -> Option<Json> {
        let mut members = Members::default();
        self.take(b"{")?;
        self.skip_space();
        if self.take(b"}").is_some() {
            return Some(Json::Object(members));
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            self.take(b":")?;
            members.put(name, self.value()?);
            self.skip_space();
            if self.take(b"}").is_some() {
                return Some(Json::Object(members));
            }
            self.take(b",")?;
        }
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.0;
        let _ = self.take(b"-");
        if self.take(b"0").is_none() {
            self.digits()?;
        }
        if self.take(b".").is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.0.first() {
            self.0 = &self.0[1..];
            let _ = self.take(b"+").or_else(|| self.take(b"-"));
            self.digits()?;
        }
        let text = &start[..start.len() - self.0.len()];
        String::from_utf8(text.to_vec()).ok().map(Json::Number)
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.0.iter().take_while(|c| c.is_ascii_digit()).count();
        self.0 = &self.0[count..];
        (count > 0).then_some(())
    }

    fn string(&mut self) -> Option<Vec<u16>> {
        self.take(b"\"")?;
        let mut units = Vec::new();
        loop {
            let plain = self
                .0
                .iter()
                .take_while(|c| !matches!(c, b'"' | b'\\' | ..0x20))
                .count();
            // The text is whole UTF-8, and is cut at ASCII only.
            units.extend(str::from_utf8(&self.0[..plain]).ok()?.encode_utf16());
            self.0 = &self.0[plain..];
            if self.take(b"\"").is_some() {
                return Some(units);
            }
            self.take(b"\\")?;
            let (&escape, rest) = self.0.split_first()?;
            self.0 = rest;
            units.push(match escape {
                b'"' | b'\\' | b'/' => u16::from(escape),
                b'b' => 8,
                b'f' => 12,
                b'n' => 10,
                b'r' => 13,
                b't' => 9,
                b'u' => {
                    let (digits, rest) = self.0.split_at_checked(4)?;
                    self.0 = rest;
                    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
                    let digits = str::from_utf8(digits).ok().filter(|_| is_hex)?;
                    u16::from_str_radix(digits, 16).ok()?
                }
                _ => return None,
            });
        }
    }
}
