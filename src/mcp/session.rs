//! Sessions of the legacy era, sealed to whom they belong to.
//!
//! Whoever knows the id of a session can join it at a server that looks no further (MCP
//! "Security Best Practices", session hijacking). So no client is told a server's id: it is
//! given a seal, which is the id and an HMAC over it and the principal it was given to.
//! There is no record of sessions. Where a seal opens is where the key is, and a refreshed
//! token, which is the same principal, opens it as well.
//!
//! The transport of 2024-11-05 names its sessions in a URL instead of a header, and those are
//! sealed for that: neither passes for the other.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::principal::Principal;
use crate::host::{Host, HostError, SharedDataError};

/// The first byte of a seal: how the rest is to be read.
const FORMAT: u8 = 1;

/// Bytes of the HMAC in a seal, of 32: at least half is what RFC 2104 section 5 asks for.
const TAG: usize = 24;

/// Longest session id of a server, in bytes. MCP suggests UUIDs, hashes and JWTs; a JWT with
/// a few claims and an RSA signature is shorter, and sealed it leaves room in the 8 KiB that
/// servers commonly take as one header line.
const MAX_ID: usize = 2 * 1024;

/// Longest seal, in characters: that of the longest id.
const MAX_SEAL: usize = ((1 + TAG + MAX_ID) * 4).div_ceil(3);

/// Where the proxy's own key is in shared data. The number is of the format.
const OWN_KEY: &str = "countersign.session.key.1";

/// A key that seals sessions.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey(Vec<u8>);

impl SealKey {
    /// Shortest key, in bytes: what SHA-256 puts out (RFC 2104 section 3).
    pub const MIN_BYTES: usize = 32;

    /// A key of at least 32 bytes; `None` for less.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= Self::MIN_BYTES).then_some(SealKey(bytes))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// What a key vouches for, with the number of the format: a seal for one opens no other. None
/// is the start of another.
const IN_HEADER: &str = "countersign session 1";
const IN_URL: &str = "countersign http-sse 1";

/// Seals and opens session ids.
#[derive(Debug)]
pub struct SessionSeals {
    /// The first seals, all of them open. Empty: a key of the proxy's own, in shared data.
    configured: Vec<SealKey>,
    purpose: &'static str,
}

impl SessionSeals {
    /// With these keys, or, without any, with one of the proxy's own.
    #[must_use]
    pub fn new(configured: Vec<SealKey>) -> Self {
        SessionSeals { configured, purpose: IN_HEADER }
    }

    /// The same for the sessions of HTTP+SSE, which are in the query of a URL.
    #[must_use]
    pub fn in_url(configured: Vec<SealKey>) -> Self {
        SessionSeals { configured, purpose: IN_URL }
    }

    /// Makes the proxy's own key if one is needed and there is none.
    ///
    /// # Errors
    /// [`HostError`] when it could not be made.
    pub fn prepare(&self, host: &dyn Host) -> Result<(), HostError> {
        self.keys(host).map(drop)
    }

    /// The id that `owner` is given for the server's session `id`; `None` for an id that no
    /// server may choose (MCP 2025-11-25, "Session Management": visible ASCII), or one
    /// longer than 2 KiB.
    ///
    /// # Errors
    /// [`HostError`] when there is no key.
    pub fn seal(
        &self,
        id: &str,
        owner: &Principal,
        host: &dyn Host,
    ) -> Result<Option<String>, HostError> {
        if !is_session_id(id.as_bytes()) {
            return Ok(None);
        }
        let keys = self.keys(host)?;
        let key = keys.first().ok_or(HostError)?;
        let hmac = hmac(key, self.purpose, owner, id.as_bytes()).ok_or(HostError)?;
        let tag = hmac.finalize().into_bytes();
        let tag = tag.get(..TAG).ok_or(HostError)?;
        Ok(Some(URL_SAFE_NO_PAD.encode([&[FORMAT], tag, id.as_bytes()].concat())))
    }

    /// The server's session id, if `sealed` was given to this owner.
    ///
    /// # Errors
    /// [`HostError`] when there is no key.
    pub fn open(
        &self,
        sealed: &str,
        owner: &Principal,
        host: &dyn Host,
    ) -> Result<Option<String>, HostError> {
        let Some((tag, id)) = read(sealed) else { return Ok(None) };
        let made_it = |key: &SealKey| {
            hmac(key, self.purpose, owner, &id)
                .is_some_and(|hmac| hmac.verify_truncated_left(&tag).is_ok())
        };
        if self.keys(host)?.iter().any(made_it) { Ok(String::from_utf8(id).ok()) } else { Ok(None) }
    }

    fn keys(&self, host: &dyn Host) -> Result<Cow<'_, [SealKey]>, HostError> {
        if self.configured.is_empty() {
            own_key(host).map(|key| vec![key].into())
        } else {
            Ok(self.configured.as_slice().into())
        }
    }
}

/// The tag and the session id in what may be a seal. Each seal has one spelling: the decoder
/// takes no padding and no bits that say nothing.
fn read(sealed: &str) -> Option<([u8; TAG], Vec<u8>)> {
    if sealed.len() > MAX_SEAL {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let ([FORMAT], rest) = bytes.split_first_chunk()? else { return None };
    let (tag, id) = rest.split_first_chunk()?;
    is_session_id(id).then(|| (*tag, id.to_vec()))
}

/// Whether a server may have chosen this id.
fn is_session_id(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && id.iter().all(u8::is_ascii_graphic)
}

/// Over a purpose, so that the key vouches for nothing else. The owner has one length.
fn hmac(key: &SealKey, purpose: &str, owner: &Principal, id: &[u8]) -> Option<Hmac<Sha256>> {
    let hmac = Hmac::<Sha256>::new_from_slice(&key.0).ok()?;
    Some(hmac.chain_update(purpose).chain_update(owner.as_bytes()).chain_update(id))
}

/// The key of this proxy, in shared data: random, never configured, never sent, and made if
/// there is none. It is never renewed, because a session has no end that we know of. Of
/// several workers that make one all take what is there then.
fn own_key(host: &dyn Host) -> Result<SealKey, HostError> {
    let found = host.shared(OWN_KEY)?;
    if let Some(key) = found.as_ref().and_then(|value| read_own(&value.bytes)) {
        return Ok(key);
    }
    let made = [host.random()?, host.random()?].concat();
    match host.set_shared(OWN_KEY, &made, found.map(|value| value.version)) {
        Ok(()) | Err(SharedDataError::Conflict) => {
            let value = host.shared(OWN_KEY)?.ok_or(HostError)?;
            read_own(&value.bytes).ok_or(HostError)
        }
        Err(SharedDataError::Failed) => Err(HostError),
    }
}

/// `None` for what we did not write.
fn read_own(bytes: &[u8]) -> Option<SealKey> {
    let key: &[u8; SealKey::MIN_BYTES] = bytes.try_into().ok()?;
    SealKey::new(key.to_vec())
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "tests may panic"
    )]

    use super::*;
    use crate::host::fake::{FakeHost, SharedData};

    const ID: &str = "1868a90c-e89b-12d3-a456-426614174000";

    fn alice() -> Principal {
        Principal::of(["https://idp.example", "alice", "agent", "https://mcp.example/mcp"])
    }

    fn key(byte: u8) -> SealKey {
        SealKey::new(vec![byte; SealKey::MIN_BYTES]).unwrap()
    }

    fn seals(keys: &[u8]) -> SessionSeals {
        SessionSeals::new(keys.iter().map(|byte| key(*byte)).collect())
    }

    /// What alice is given for the session, with the key of 7s.
    fn sealed() -> String {
        seals(&[7]).seal(ID, &alice(), &FakeHost::new()).unwrap().unwrap()
    }

    /// What alice gets for a seal where the key of 7s is configured.
    fn opened(sealed: &str) -> Option<String> {
        seals(&[7]).open(sealed, &alice(), &FakeHost::new()).unwrap()
    }

    fn decoded(sealed: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(sealed).unwrap()
    }

    #[test]
    fn the_seal_is_of_the_form_that_is_described() {
        let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
        mac.update(b"countersign session 1");
        mac.update(alice().as_bytes());
        mac.update(ID.as_bytes());
        let tag = mac.finalize().into_bytes();
        let expected = [&[1], &tag[..24], ID.as_bytes()].concat();
        assert_eq!(sealed(), URL_SAFE_NO_PAD.encode(expected));
    }

    #[test]
    fn a_seal_opens_for_whom_it_was_made() {
        assert_eq!(opened(&sealed()).as_deref(), Some(ID));
        assert!(!sealed().contains(ID));
    }

    #[test]
    fn session_hijacking_a_seal_opens_for_nobody_else() {
        for other in [
            ["https://idp.example", "mallory", "agent", "https://mcp.example/mcp"],
            ["https://other.example", "alice", "agent", "https://mcp.example/mcp"],
            ["https://idp.example", "alice", "other", "https://mcp.example/mcp"],
            ["https://idp.example", "alice", "agent", "https://mcp.example/other"],
        ] {
            let other = Principal::of(other);
            let host = FakeHost::new();
            assert_eq!(seals(&[7]).open(&sealed(), &other, &host), Ok(None));
        }
    }

    #[test]
    fn what_a_server_called_the_session_is_no_seal() {
        for forged in [ID, "", "AQ", "AQ==", "Mcp-Session-Id", "é", "\0"] {
            assert_eq!(opened(forged), None, "{forged:?}");
        }
    }

    #[test]
    fn every_bit_of_a_seal_counts() {
        let bytes = decoded(&sealed());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&URL_SAFE_NO_PAD.encode(flipped)), None, "bit {bit}");
        }
    }

    #[test]
    fn every_character_of_a_seal_counts() {
        let sealed = sealed();
        let alphabet = ('\0'..='\u{ff}').collect::<Vec<_>>();
        for at in 0..sealed.len() {
            for other in alphabet.iter().filter(|c| !sealed[at..].starts_with(**c)) {
                let changed = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
                assert_eq!(opened(&changed), None, "{at} {other:?}");
            }
        }
    }

    #[test]
    fn a_seal_may_not_be_cut_or_drawn_out() {
        let bytes = decoded(&sealed());
        for length in 0..bytes.len() {
            assert_eq!(opened(&URL_SAFE_NO_PAD.encode(&bytes[..length])), None, "{length}");
            assert_eq!(opened(&URL_SAFE_NO_PAD.encode(&bytes[length + 1..])), None, "{length}");
        }
        for byte in 0..=u8::MAX {
            let longer = [&bytes[..], &[byte]].concat();
            assert_eq!(opened(&URL_SAFE_NO_PAD.encode(longer)), None, "{byte}");
        }
        let sealed = sealed();
        for length in 0..sealed.len() {
            assert_eq!(opened(&sealed[..length]), None, "{length}");
        }
    }

    #[test]
    fn rfc4648_3_a_seal_has_one_spelling() {
        // 25 bytes and 36 make 61: one more than a multiple of three, so that the last
        // character has four bits that say nothing.
        let sealed = sealed();
        assert_eq!(decoded(&sealed).len() % 3, 1);
        let last = sealed[sealed.len() - 1..].chars().next().unwrap();
        let next = char::from_u32(u32::from(last) + 1).unwrap();
        for other in [
            format!("{}{next}", &sealed[..sealed.len() - 1]),
            format!("{sealed}="),
            format!("{sealed}=="),
            format!(" {sealed}"),
            format!("{sealed} "),
            format!("{sealed}\n"),
            format!("{sealed}, {sealed}"),
            format!("{}\r\n{}", &sealed[..8], &sealed[8..]),
        ] {
            assert_eq!(opened(&other), None, "{other:?}");
        }
        let standard = ["~~~~", "????", ">>>>"].map(|id| {
            let sealed = seals(&[7]).seal(id, &alice(), &FakeHost::new()).unwrap().unwrap();
            (sealed.replace('-', "+").replace('_', "/"), sealed)
        });
        assert!(standard.iter().any(|(standard, sealed)| standard != sealed));
        for (standard, sealed) in standard.iter().filter(|(standard, sealed)| standard != sealed) {
            assert_eq!((opened(standard), opened(sealed).is_some()), (None, true));
        }
    }

    #[test]
    fn mcp_2025_11_25_ids_are_visible_ascii() {
        let host = FakeHost::new();
        let seal = |id: &str| seals(&[7]).seal(id, &alice(), &host).unwrap();
        let visible: String = ('\x21'..='\x7e').collect();
        let longest = "x".repeat(MAX_ID);
        for id in ["1", &visible, &longest] {
            let sealed = seal(id).unwrap();
            assert!(sealed.len() <= MAX_SEAL);
            assert_eq!(opened(&sealed).as_deref(), Some(id));
        }
        assert_eq!(seal(&longest).map(|sealed| sealed.len()), Some(MAX_SEAL));
        let too_long = "x".repeat(MAX_ID + 1);
        for id in ["", " ", "a b", "a\t", "a\r\nb: c", "\0", "\x7f", "é", &too_long] {
            assert_eq!(seal(id), None, "{id:?}");
        }
    }

    #[test]
    fn a_seal_of_ours_over_what_no_server_may_choose_does_not_open() {
        for id in ["", "a b", &"x".repeat(MAX_ID + 1)] {
            let hmac = hmac(&key(7), IN_HEADER, &alice(), id.as_bytes()).unwrap();
            let tag = hmac.finalize().into_bytes();
            let sealed = URL_SAFE_NO_PAD.encode([&[FORMAT], &tag[..TAG], id.as_bytes()].concat());
            assert_eq!(opened(&sealed), None, "{id:?}");
        }
    }

    #[test]
    fn mcp_2024_11_05_a_session_in_a_url_is_none_in_a_header_and_the_reverse() {
        let host = FakeHost::new();
        let in_url = SessionSeals::in_url(vec![key(7)]);
        let sealed_in_url = in_url.seal(ID, &alice(), &host).unwrap().unwrap();
        assert_eq!(in_url.open(&sealed_in_url, &alice(), &host), Ok(Some(ID.to_owned())));
        assert_eq!(opened(&sealed_in_url), None);
        assert_eq!(in_url.open(&sealed(), &alice(), &host), Ok(None));
    }

    #[test]
    fn what_the_key_vouches_for_elsewhere_is_no_seal() {
        for purpose in ["", "countersign dpop nonce 1", "countersign session 2"] {
            let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
            mac.update(purpose.as_bytes());
            mac.update(alice().as_bytes());
            mac.update(ID.as_bytes());
            let tag = mac.finalize().into_bytes();
            let sealed = URL_SAFE_NO_PAD.encode([&[FORMAT], &tag[..TAG], ID.as_bytes()].concat());
            assert_eq!(opened(&sealed), None, "{purpose}");
        }
    }

    #[test]
    fn rotation_the_first_key_seals_and_all_of_them_open() {
        let host = FakeHost::new();
        let with = |keys: &[u8]| seals(keys).seal(ID, &alice(), &host).unwrap().unwrap();
        let open = |keys: &[u8], sealed: &str| {
            seals(keys).open(sealed, &alice(), &host).unwrap().is_some()
        };
        assert_eq!(with(&[7, 8]), sealed());
        assert_ne!(with(&[8, 7]), sealed());
        for keys in [&[7][..], &[7, 8], &[8, 7], &[9, 8, 7]] {
            assert!(open(keys, &sealed()), "{keys:?}");
        }
        for keys in [&[8][..], &[8, 9], &[]] {
            assert!(!open(keys, &sealed()), "{keys:?}");
        }
    }

    #[test]
    fn configured_keys_open_on_every_replica_and_need_no_shared_data() {
        let host = FakeHost::new();
        host.refuse_shared.set(true);
        host.refuse_random.set(true);
        let replica = seals(&[7]);
        assert_eq!(replica.prepare(&host), Ok(()));
        assert_eq!(replica.open(&sealed(), &alice(), &host), Ok(Some(ID.to_owned())));
        assert!(host.shared.borrow().is_empty());
    }

    #[test]
    fn the_workers_of_a_proxy_have_one_key_and_its_end_is_theirs() {
        let shared = SharedData::default();
        let (one, other) = (FakeHost::worker(&shared), FakeHost::worker(&shared));
        // Another worker draws other keys.
        other.random().unwrap();
        let own = seals(&[]);
        own.prepare(&one).unwrap();
        let made = shared.borrow()[OWN_KEY].clone();
        own.prepare(&other).unwrap();
        let sealed = own.seal(ID, &alice(), &one).unwrap().unwrap();
        assert_eq!(own.open(&sealed, &alice(), &other), Ok(Some(ID.to_owned())));
        assert_eq!(shared.borrow()[OWN_KEY], made, "made once");

        let restarted = FakeHost::new();
        restarted.random().unwrap();
        own.prepare(&restarted).unwrap();
        assert_eq!(own.open(&sealed, &alice(), &restarted), Ok(None));
    }

    #[test]
    fn a_host_that_refuses_leaves_no_key_and_no_session() {
        let own = seals(&[]);
        let no_shared_data = FakeHost::new();
        no_shared_data.refuse_shared.set(true);
        let no_randomness = FakeHost::new();
        no_randomness.refuse_random.set(true);
        for host in [no_shared_data, no_randomness] {
            assert_eq!(own.prepare(&host), Err(HostError));
            assert_eq!(own.seal(ID, &alice(), &host), Err(HostError));
            assert_eq!(own.open(&sealed(), &alice(), &host), Err(HostError));
        }
    }

    #[test]
    fn a_value_that_is_no_key_of_ours_is_replaced_and_never_used() {
        for foreign in [&[][..], b"key", &[0; 31], &[0; 33]] {
            let host = FakeHost::new();
            host.set_shared(OWN_KEY, foreign, None).unwrap();
            let own = seals(&[]);
            own.prepare(&host).unwrap();
            assert_eq!(shared_key(&host).len(), 32);
            let sealed = own.seal(ID, &alice(), &host).unwrap().unwrap();
            assert_eq!(own.open(&sealed, &alice(), &host), Ok(Some(ID.to_owned())));
        }
    }

    #[test]
    fn a_worker_that_loses_the_race_takes_what_is_there() {
        let host = FakeHost::new();
        host.set_shared(OWN_KEY, b"foreign", None).unwrap();
        host.lost_races.set(1);
        assert_eq!(seals(&[]).prepare(&host), Err(HostError), "what is there is no key");
        assert_eq!(shared_key(&host), b"foreign");

        host.rival.replace(Some((OWN_KEY.to_owned(), vec![7; 32])));
        let sealed = seals(&[]).seal(ID, &alice(), &host).unwrap().unwrap();
        assert_eq!(sealed, self::sealed());
        assert_eq!(shared_key(&host), [7; 32]);
    }

    #[test]
    fn keys_are_long_enough_and_never_shown() {
        assert!(SealKey::new(vec![7; 31]).is_none());
        assert_eq!(format!("{:?}", key(7)), "SealKey(..)");
        assert_eq!(
            format!("{:?}", seals(&[7])),
            "SessionSeals { configured: [SealKey(..)], purpose: \"countersign session 1\" }"
        );
    }

    fn shared_key(host: &FakeHost) -> Vec<u8> {
        host.shared(OWN_KEY).unwrap().unwrap().bytes
    }
}
