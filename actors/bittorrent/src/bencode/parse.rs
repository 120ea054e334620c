//! Reading bencode.

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lists and dictionaries within each other.
    pub depth: usize,
    /// Values, keys included.
    pub values: usize,
}

impl Limits {
    /// For metainfo files: as libtorrent.
    pub const METAINFO: Self = Self { depth: 100, values: 3_000_000 };
    /// For messages of peers and trackers.
    pub const MESSAGE: Self = Self { depth: 16, values: 20_000 };
}

/// The bytes are not bencode, or not canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Error {
    /// What is wrong.
    pub what: &'static str,
    /// Where, from 0.
    pub at: usize,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An integer.
    Int,
    /// A string of bytes.
    Bytes,
    /// A list.
    List,
    /// A dictionary; its members are keys and values in turn.
    Dict,
}

/// A value in the table. `next` is the place behind it and all that is in it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    start: u32,
    end: u32,
    /// Where the bytes of a string begin.
    content: u32,
    next: u32,
}

/// A parsed document over borrowed bytes.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    bytes: &'a [u8],
    entries: Vec<Entry>,
}

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub struct Value<'d> {
    bytes: &'d [u8],
    entries: &'d [Entry],
    at: usize,
}

/// A dictionary of a document.
#[derive(Debug, Clone, Copy)]
pub struct Dict<'d> {
    value: Value<'d>,
}

/// A list of a document.
#[derive(Debug, Clone, Copy)]
pub struct List<'d> {
    value: Value<'d>,
}

/// Reads `bytes` whole.
///
/// # Errors
///
/// They are not one canonical value: unsorted or repeated keys, leading zeros, `-0`, bytes behind the
/// end, or beyond the limits.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Document<'_>, Error> {
    let (document, length) = parse_prefix(bytes, limits)?;
    if length < bytes.len() {
        return Err(Error { what: "more bytes behind the end", at: length });
    }
    Ok(document)
}

/// Reads one value from the front of `bytes`, and says how long it is.
///
/// # Errors
///
/// As [`parse`], but more bytes may follow.
pub fn parse_prefix(bytes: &[u8], limits: Limits) -> Result<(Document<'_>, usize), Error> {
    Parser::read(bytes, limits, Order::Sorted)
}

/// Reads one value from the front of `bytes` whose dictionaries may have their keys in any order.
///
/// For answers of trackers, many of which are scripts that know no canonical form: keys as they come,
/// a line end behind the value. Of a key that stands twice the first is found.
///
/// # Errors
///
/// It is not bencode, or beyond the limits.
pub fn parse_lenient(bytes: &[u8], limits: Limits) -> Result<Document<'_>, Error> {
    Parser::read(bytes, limits, Order::Any).map(|(document, _)| document)
}

/// How the keys of a dictionary must follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Sorted and each once.
    Sorted,
    /// As they come.
    Any,
}

/// A list or dictionary that is not ended yet.
struct Open {
    entry: usize,
    /// The last key of a dictionary, as a range of the bytes.
    key: Option<(usize, usize)>,
    /// In a dictionary: a value must follow.
    needs_value: bool,
    is_dict: bool,
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    order: Order,
    entries: Vec<Entry>,
    open: Vec<Open>,
}

impl<'a> Parser<'a> {
    fn read(bytes: &'a [u8], limits: Limits, order: Order) -> Result<(Document<'a>, usize), Error> {
        let mut parser =
            Parser { bytes, at: 0, limits, order, entries: Vec::new(), open: Vec::new() };
        parser.run()?;
        Ok((Document { bytes, entries: parser.entries }, parser.at))
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(Error { what, at: self.at })
    }

    fn run(&mut self) -> Result<(), Error> {
        if u32::try_from(self.bytes.len()).is_err() {
            return self.fail("more than 4 GiB");
        }
        loop {
            self.step()?;
            if self.open.is_empty() {
                return Ok(());
            }
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        let Some(&byte) = self.bytes.get(self.at) else {
            return self.fail("the end comes too early");
        };
        if byte == b'e' {
            return self.close();
        }
        if self.entries.len() >= self.limits.values {
            return self.fail("too many values");
        }
        let is_key = self.open.last().is_some_and(|open| open.is_dict && !open.needs_value);
        if is_key && !byte.is_ascii_digit() {
            return self.fail("a key must be a string");
        }
        match byte {
            b'd' | b'l' => return self.begin(byte == b'd'),
            b'i' => self.int()?,
            b'0'..=b'9' => self.string(is_key)?,
            _ => return self.fail("no value begins with this byte"),
        }
        self.value_done(is_key);
        Ok(())
    }

    fn value_done(&mut self, is_key: bool) {
        if let Some(open) = self.open.last_mut()
            && open.is_dict
        {
            open.needs_value = is_key;
        }
    }

    fn push(&mut self, kind: Kind, start: usize, content: usize) {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let (start, content, end) = (place(start), place(content), place(self.at));
        let next = place(self.entries.len() + 1);
        self.entries.push(Entry { kind, start, end, content, next });
    }

    fn begin(&mut self, is_dict: bool) -> Result<(), Error> {
        if self.open.len() >= self.limits.depth {
            return self.fail("too many levels");
        }
        let start = self.at;
        self.at += 1;
        self.open.push(Open { entry: self.entries.len(), key: None, needs_value: false, is_dict });
        self.push(if is_dict { Kind::Dict } else { Kind::List }, start, start + 1);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        match self.open.last() {
            None => return self.fail("an end without a beginning"),
            Some(open) if open.needs_value => return self.fail("a key without a value"),
            Some(_) => {}
        }
        self.at += 1;
        let next = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let end = u32::try_from(self.at).unwrap_or(u32::MAX);
        let closed = self.open.pop().and_then(|open| self.entries.get_mut(open.entry));
        if let Some(entry) = closed {
            entry.next = next;
            entry.end = end;
        }
        self.value_done(false);
        Ok(())
    }

    /// Digits up to `stop`, without leading zeros.
    fn digits(&mut self, stop: u8) -> Result<(usize, usize), Error> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        let end = self.at;
        match self.bytes.get(self.at) {
            Some(&byte) if byte == stop => self.at += 1,
            Some(_) => return self.fail("a digit or the end of a number must stand here"),
            None => return self.fail("the end comes too early"),
        }
        if start == end {
            return self.fail("a number without digits");
        }
        if end - start > 1 && self.bytes.get(start) == Some(&b'0') {
            return Err(Error { what: "a number with leading zeros", at: start });
        }
        Ok((start, end))
    }

    fn int(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        let negative = self.bytes.get(self.at) == Some(&b'-');
        if negative {
            self.at += 1;
        }
        let (first, last) = self.digits(b'e')?;
        if negative && self.bytes.get(first) == Some(&b'0') {
            return Err(Error { what: "minus zero", at: start });
        }
        let text = self.bytes.get(start + 1..last).unwrap_or_default();
        let fits = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
        if fits.is_none() {
            return Err(Error { what: "an integer beyond 64 bits", at: start });
        }
        self.push(Kind::Int, start, start + 1);
        Ok(())
    }

    fn string(&mut self, is_key: bool) -> Result<(), Error> {
        let start = self.at;
        let (first, last) = self.digits(b':')?;
        let text = self.bytes.get(first..last).unwrap_or_default();
        let length = std::str::from_utf8(text).ok().and_then(|text| text.parse::<usize>().ok());
        let content = self.at;
        let end = length.and_then(|length| content.checked_add(length));
        let Some(end) = end.filter(|&end| end <= self.bytes.len()) else {
            return Err(Error { what: "a string longer than the input", at: start });
        };
        if is_key && self.order == Order::Sorted {
            self.check_order(start, content, end)?;
        }
        self.at = end;
        self.push(Kind::Bytes, start, content);
        Ok(())
    }

    fn check_order(&mut self, start: usize, content: usize, end: usize) -> Result<(), Error> {
        let bytes = self.bytes;
        let key = bytes.get(content..end).unwrap_or_default();
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        let before = open.key.replace((content, end)).and_then(|(from, to)| bytes.get(from..to));
        match before.map(|before| before.cmp(key)) {
            None | Some(std::cmp::Ordering::Less) => Ok(()),
            Some(std::cmp::Ordering::Equal) => Err(Error { what: "a key stands twice", at: start }),
            Some(std::cmp::Ordering::Greater) => {
                Err(Error { what: "keys are not in order", at: start })
            }
        }
    }
}

impl Document<'_> {
    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        Value { bytes: self.bytes, entries: &self.entries, at: 0 }
    }

    /// How many values there are, keys included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Never: a document has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'d> Value<'d> {
    fn entry(self) -> Entry {
        let nothing = Entry { kind: Kind::Bytes, start: 0, end: 0, content: 0, next: u32::MAX };
        self.entries.get(self.at).copied().unwrap_or(nothing)
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.entry().kind
    }

    /// Where it begins in the input.
    #[must_use]
    pub fn start(self) -> usize {
        self.entry().start as usize
    }

    /// Its range in the input.
    #[must_use]
    pub fn span(self) -> std::ops::Range<usize> {
        let entry = self.entry();
        entry.start as usize..entry.end as usize
    }

    /// Its bencoded bytes.
    #[must_use]
    pub fn raw(self) -> &'d [u8] {
        self.bytes.get(self.span()).unwrap_or_default()
    }

    /// The bytes of a string.
    #[must_use]
    pub fn bytes(self) -> Option<&'d [u8]> {
        let entry = self.entry();
        (entry.kind == Kind::Bytes)
            .then(|| self.bytes.get(entry.content as usize..entry.end as usize).unwrap_or_default())
    }

    /// The text of a string that is UTF-8.
    #[must_use]
    pub fn text(self) -> Option<&'d str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// An integer.
    #[must_use]
    pub fn int(self) -> Option<i64> {
        let entry = self.entry();
        let end = (entry.end as usize).checked_sub(1)?;
        let digits = self.bytes.get(entry.content as usize..end)?;
        (entry.kind == Kind::Int).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
    }

    /// A dictionary.
    #[must_use]
    pub fn dict(self) -> Option<Dict<'d>> {
        (self.kind() == Kind::Dict).then_some(Dict { value: self })
    }

    /// A list.
    #[must_use]
    pub fn list(self) -> Option<List<'d>> {
        (self.kind() == Kind::List).then_some(List { value: self })
    }

    fn members(self) -> Members<'d> {
        let end = self.entry().next as usize;
        Members { value: Self { at: self.at + 1, ..self }, end }
    }
}

/// The values directly in a list or dictionary.
#[derive(Debug, Clone)]
struct Members<'d> {
    value: Value<'d>,
    end: usize,
}

impl<'d> Iterator for Members<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Value<'d>> {
        if self.value.at >= self.end {
            return None;
        }
        let value = self.value;
        self.value.at = value.entry().next as usize;
        Some(value)
    }
}

impl<'d> List<'d> {
    /// Its values.
    pub fn iter(self) -> impl Iterator<Item = Value<'d>> {
        self.value.members()
    }
}

impl<'d> Dict<'d> {
    /// Its bencoded bytes.
    #[must_use]
    pub fn raw(self) -> &'d [u8] {
        self.value.raw()
    }

    /// Keys and values, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'d [u8], Value<'d>)> {
        let mut members = self.value.members();
        std::iter::from_fn(move || {
            let key = members.next()?.bytes()?;
            Some((key, members.next()?))
        })
    }

    /// The value of a key.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Value<'d>> {
        self.iter().find(|(name, _)| *name == key.as_bytes()).map(|(_, value)| value)
    }

    /// The string of a key.
    #[must_use]
    pub fn bytes(self, key: &str) -> Option<&'d [u8]> {
        self.get(key)?.bytes()
    }

    /// The UTF-8 text of a key.
    #[must_use]
    pub fn text(self, key: &str) -> Option<&'d str> {
        self.get(key)?.text()
    }

    /// The integer of a key.
    #[must_use]
    pub fn int(self, key: &str) -> Option<i64> {
        self.get(key)?.int()
    }

    /// The dictionary of a key.
    #[must_use]
    pub fn dict(self, key: &str) -> Option<Dict<'d>> {
        self.get(key)?.dict()
    }

    /// The list of a key.
    #[must_use]
    pub fn list(self, key: &str) -> Option<List<'d>> {
        self.get(key)?.list()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Encoder;
    use super::*;

    const LIMITS: Limits = Limits { depth: 4, values: 100 };

    fn refuse(bytes: &[u8]) -> (&'static str, usize) {
        let error = parse(bytes, LIMITS).unwrap_err();
        (error.what, error.at)
    }

    #[test]
    fn reads_values_with_their_places() {
        let document = parse(b"d1:ali1ei-2ee1:bd1:c3:xyzee", LIMITS).unwrap();
        let root = document.root().dict().unwrap();
        let ints: Vec<_> = root.list("a").unwrap().iter().map(|value| value.int()).collect();
        assert_eq!(ints, [Some(1), Some(-2)]);
        assert_eq!(root.dict("b").unwrap().bytes("c"), Some(&b"xyz"[..]));
        assert_eq!(root.get("b").unwrap().raw(), b"d1:c3:xyze");
        assert_eq!(root.get("a").unwrap().span(), 4..13);
        assert!(root.get("c").is_none());
    }

    #[test]
    fn refuses_what_is_not_canonical_and_says_where() {
        assert_eq!(refuse(b""), ("the end comes too early", 0));
        assert_eq!(refuse(b"i01e"), ("a number with leading zeros", 1));
        assert_eq!(refuse(b"i-0e"), ("minus zero", 0));
        assert_eq!(refuse(b"ie"), ("a number without digits", 2));
        assert_eq!(refuse(b"i9223372036854775808e"), ("an integer beyond 64 bits", 0));
        assert_eq!(refuse(b"01:a"), ("a number with leading zeros", 0));
        assert_eq!(refuse(b"5:abc"), ("a string longer than the input", 0));
        assert_eq!(refuse(b"99999999999999999999:a"), ("a string longer than the input", 0));
        assert_eq!(refuse(b"d1:bi1e1:ai1ee"), ("keys are not in order", 7));
        assert_eq!(refuse(b"d1:ai1e1:ai1ee"), ("a key stands twice", 7));
        assert_eq!(refuse(b"d1:ae"), ("a key without a value", 4));
        assert_eq!(refuse(b"di1ei1ee"), ("a key must be a string", 1));
        assert_eq!(refuse(b"lllllleeeeee"), ("too many levels", 4));
        assert_eq!(refuse(b"i1ei2e"), ("more bytes behind the end", 3));
        assert_eq!(refuse(b"e"), ("an end without a beginning", 0));
        assert_eq!(refuse(b"x"), ("no value begins with this byte", 0));
        assert_eq!(refuse(b"li1e"), ("the end comes too early", 4));
    }

    #[test]
    fn a_lenient_reader_takes_keys_as_they_come() {
        let document = parse_lenient(b"d1:bi1e1:ai2e1:bi3ee\r\n", LIMITS).unwrap();
        let root = document.root().dict().unwrap();
        assert_eq!((root.int("a"), root.int("b")), (Some(2), Some(1)));
        assert!(parse_lenient(b"d1:bi01ee", LIMITS).is_err());
    }

    #[test]
    fn a_million_levels_cost_nothing() {
        let deep = vec![b'l'; 1_000_000];
        assert_eq!(parse(&deep, Limits::METAINFO).unwrap_err().what, "too many levels");
        let many = [&b"l"[..], &b"i1e".repeat(101), b"e"].concat();
        assert_eq!(refuse(&many).0, "too many values");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = parse(&bytes, LIMITS);
            let _ = parse_lenient(&bytes, LIMITS);
        }

        #[test]
        fn bytes_like_bencode_do_not_panic(text in "[dlei0-9:a]{0,64}") {
            if let Ok(document) = parse(text.as_bytes(), LIMITS) {
                prop_assert_eq!(document.root().raw(), text.as_bytes());
            }
        }

        #[test]
        fn round_trips(ints in prop::collection::vec(any::<i64>(), 0..8), bytes in any::<Vec<u8>>()) {
            let mut encoder = Encoder::new();
            encoder.dict().bytes("b").bytes(&bytes).bytes("i").list();
            ints.iter().for_each(|&int| { encoder.int(int); });
            encoder.end().end();
            let encoded = encoder.finish();
            let document = parse(&encoded, LIMITS).unwrap();
            let root = document.root().dict().unwrap();
            prop_assert_eq!(root.bytes("b"), Some(&bytes[..]));
            let back: Vec<_> = root.list("i").unwrap().iter().filter_map(Value::int).collect();
            prop_assert_eq!(back, ints);
        }
    }
}
