//! What passes through the host: header lists, and the record of what was let through.

use std::fmt;

/// An ordered header list with raw bytes, as the host keeps it. Names are lower-case.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Reads any list of name and value pairs: `[("a", "b")]`, `[("a", b"\xff".as_slice())]`.
    pub(crate) fn new<N: AsRef<str>, V: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let pair =
            |(name, value): (N, V)| (name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec());
        Self(pairs.into_iter().map(pair).collect())
    }

    /// The first value.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value as text; panics when it is not UTF-8.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.bytes(name).map(|value| std::str::from_utf8(value).expect("a header value in UTF-8"))
    }

    /// Every value, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = move |(n, _): &&(String, Vec<u8>)| n.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).map(|(_, value)| value.as_slice())
    }

    /// Names and values in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many pairs.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, name: &str, value: Vec<u8>) {
        self.0.push((name.to_ascii_lowercase(), value));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// Like Envoy's `setCopy`: one value stays, at the place of the first.
    pub(super) fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.0.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)) {
            None => self.add(name, value),
            Some(first) => {
                let name = name.to_ascii_lowercase();
                self.remove(&name);
                self.0.insert(first, (name, value));
            }
        }
    }

    /// The size that `request.total_size` counts.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The proxy-wasm encoding: count, then all lengths, then NUL-terminated strings.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        let mut bytes = word(self.0.len()).to_vec();
        for (name, value) in &self.0 {
            bytes.extend(word(name.len()));
            bytes.extend(word(value.len()));
        }
        for (name, value) in &self.0 {
            bytes.extend([name.as_bytes(), b"\0", value, b"\0"].concat());
        }
        bytes
    }

    /// Reads that encoding; `None` when it is not one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count) as usize;
        let (mut lengths, mut strings) = rest.split_at_checked(count.checked_mul(8)?)?;
        let mut next = || {
            let (length, rest) = lengths.split_first_chunk::<4>()?;
            lengths = rest;
            let (string, rest) = strings.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            strings = rest.strip_prefix(b"\0")?;
            Some(string)
        };
        let mut headers = Self::default();
        for _ in 0..count {
            let name = std::str::from_utf8(next()?).ok()?;
            headers.add(name, next()?.to_vec());
        }
        Some(headers)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |(name, value): (_, &[u8])| (name, String::from_utf8_lossy(value).into_owned());
        f.debug_map().entries(self.iter().map(text)).finish()
    }
}

/// One thing that went over the wire.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The header list, final.
    Headers(Headers),
    /// A piece of the body, never empty.
    Body(Vec<u8>),
    /// The trailer list, which is the end.
    Trailers(Headers),
    /// The end of a message without trailers.
    End,
    /// The message was cut off: everything before it was seen, nothing comes after it.
    Reset,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Headers(headers) => write!(f, "Headers({headers:?})"),
            Self::Body(piece) => write!(f, "Body({})", piece.escape_ascii()),
            Self::Trailers(trailers) => write!(f, "Trailers({trailers:?})"),
            Self::End => f.write_str("End"),
            Self::Reset => f.write_str("Reset"),
        }
    }
}

/// What went to one side, in the order in which it went. Cannot be taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wire(pub(super) Vec<Event>);

impl Wire {
    /// Everything, in order.
    pub(crate) fn events(&self) -> &[Event] {
        &self.0
    }

    /// Nothing at all was sent: what a denied request must leave.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The header list, if it was sent.
    pub(crate) fn headers(&self) -> Option<&Headers> {
        self.0.iter().find_map(|event| match event {
            Event::Headers(headers) => Some(headers),
            _ => None,
        })
    }

    /// A header's first value as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers()?.get(name)
    }

    /// The `:status` of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.header(":status").map(|status| status.parse().expect("a numeric :status"))
    }

    /// The body sent so far.
    pub(crate) fn body(&self) -> Vec<u8> {
        let piece = |event: &Event| match event {
            Event::Body(piece) => piece.clone(),
            _ => Vec::new(),
        };
        self.0.iter().flat_map(piece).collect()
    }

    /// The body sent so far as text; panics when it is not UTF-8.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body()).expect("a body in UTF-8")
    }

    /// The message is complete.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.0.last(), Some(Event::End | Event::Trailers(_)))
    }

    /// The message was cut off.
    pub(crate) fn reset(&self) -> bool {
        matches!(self.0.last(), Some(Event::Reset))
    }

    pub(super) fn cut(&mut self) {
        if !self.is_empty() && !self.ended() && !self.reset() {
            self.0.push(Event::Reset);
        }
    }
}
