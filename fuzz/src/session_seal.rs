//! Session seals: what opens is what was sealed, for whom it was sealed.
//!
//! The input is four lines: the server's id, its owner, another caller, and what somebody
//! presents as a seal. The last may hold line feeds; it is also what is in shared data
//! where the proxy's own key should be.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::SystemTime;

use countersign::host::{
    Callout, CalloutId, Change, Counter, Gauge, Host, HostError, LogLevel, NativeSigning,
    NativeVerdict, NativeVerification, SharedDataError, SharedValue,
};
use countersign::mcp::{Principal, SealKey, SessionSeals};

/// Checks one id, two callers and one forgery.
pub fn check(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (id, owner, other, presented) = (line(), line(), line(), line());
    let [owner, other] = [owner, other].map(|who| Principal::of(["issuer", who, "agent"]));
    let world = World { id, owner, other, presented };
    world.own_key_survives_what_others_write();
    world.configured_keys_seal()
}

struct World<'a> {
    id: &'a str,
    owner: Principal,
    other: Principal,
    presented: &'a str,
}

impl World<'_> {
    fn configured_keys_seal(&self) -> bool {
        let host = Worker::default();
        let seals = with(&[1]);
        let open = |seals: &SessionSeals, sealed: &str, who: &Principal| {
            seals.open(sealed, who, &host).unwrap()
        };
        // A fuzzer that looks into memory may present what was sealed before, but nothing else.
        let is_genuine = |sealed: &str, who: &Principal| {
            open(&seals, sealed, who)
                .is_none_or(|id| seals.seal(&id, who, &host).unwrap().as_deref() == Some(sealed))
        };
        for presented in [self.presented, self.id] {
            assert!(is_genuine(presented, &self.owner), "nobody sealed it: {presented:?}");
        }
        let Some(sealed) = seals.seal(self.id, &self.owner, &host).unwrap() else {
            assert!(!is_session_id(self.id) || self.id.len() > 1024, "an id that servers choose");
            return false;
        };
        assert!(is_session_id(self.id), "no server may choose it");
        assert!(is_session_id(&sealed), "it has to travel in a header");
        assert_ne!(sealed, self.id);
        for (keys, opens) in [(&[1][..], true), (&[2, 1], true), (&[2], false)] {
            let expected = opens.then(|| self.id.to_owned());
            assert_eq!(open(&with(keys), &sealed, &self.owner), expected, "keys {keys:?}");
        }
        if self.other != self.owner {
            assert_eq!(open(&seals, &sealed, &self.other), None, "somebody else's");
        }
        for forged in forgeries(&sealed, self.presented) {
            assert!(is_genuine(&forged, &self.owner), "{forged:?} from {sealed:?}");
        }
        let again = seals.seal(&sealed, &self.other, &host).unwrap();
        let opened = again.and_then(|again| open(&seals, &again, &self.other));
        assert!(opened.is_none_or(|opened| opened == sealed), "a seal is an id like another");
        true
    }

    /// Other modules may write what is shared: then it is an error, or a key for everybody.
    fn own_key_survives_what_others_write(&self) {
        let host = Worker::default();
        let seals = SessionSeals::new(Vec::new());
        if seals.prepare(&host).is_ok() {
            self.opens_for_its_owner(&seals, &host);
        }
        for value in host.shared.borrow_mut().values_mut() {
            value.0 = self.presented.as_bytes().to_vec();
        }
        let worker = SessionSeals::new(Vec::new());
        if worker.prepare(&host).is_ok() {
            self.opens_for_its_owner(&worker, &host);
        }
    }

    fn opens_for_its_owner(&self, seals: &SessionSeals, host: &Worker) {
        let Ok(Some(sealed)) = seals.seal(self.id, &self.owner, host) else { return };
        assert_eq!(seals.open(&sealed, &self.owner, host), Ok(Some(self.id.to_owned())));
        let other = seals.open(&sealed, &self.other, host);
        assert!(self.other == self.owner || other == Ok(None), "somebody else's");
    }
}

/// What can be made of a seal without the key.
fn forgeries(sealed: &str, with: &str) -> Vec<String> {
    let (first, last) = sealed.split_at(sealed.len() / 2);
    let mut forged = vec![
        format!("{sealed}{with}"),
        format!("{with}{sealed}"),
        format!("{first}{with}{last}"),
        format!("{first}{with}"),
        format!("{with}{last}"),
        format!("{sealed}="),
        format!(" {sealed}"),
        sealed.to_lowercase(),
        first.to_owned(),
        String::new(),
    ];
    // The last characters may hold bits that no byte is made of.
    let picked = with.len() % sealed.len();
    for (at, _) in sealed.char_indices() {
        if at < 4 || at == picked || sealed.len() - at <= 4 {
            let other = if sealed[at..].starts_with('A') { "B" } else { "A" };
            forged.push(format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]));
        }
    }
    forged.retain(|forged| forged != sealed);
    forged
}

/// MCP 2025-11-25, "Session Management": visible ASCII.
fn is_session_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}

fn with(keys: &[u8]) -> SessionSeals {
    SessionSeals::new(keys.iter().filter_map(|key| SealKey::new(vec![*key; 32])).collect())
}

/// A proxy's worker that keeps shared data and draws other bytes every time.
#[derive(Default)]
struct Worker {
    shared: RefCell<HashMap<String, (Vec<u8>, u32)>>,
    drawn: Cell<u128>,
}

impl Host for Worker {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn random(&self) -> Result<[u8; 16], HostError> {
        self.drawn.set(self.drawn.get() + 1);
        Ok(self.drawn.get().to_be_bytes())
    }

    fn verify_signature(&self, _: &NativeVerification<'_>) -> NativeVerdict {
        NativeVerdict::Unsupported
    }

    fn sign(&self, _: &NativeSigning<'_>) -> Result<Vec<u8>, HostError> {
        Err(HostError)
    }

    fn shared(&self, key: &str) -> Result<Option<SharedValue>, HostError> {
        Ok(self.shared.borrow().get(key).and_then(|(bytes, version)| {
            Some(SharedValue { bytes: bytes.clone(), version: NonZeroU32::new(*version)? })
        }))
    }

    fn set_shared(
        &self,
        key: &str,
        value: &[u8],
        version: Option<NonZeroU32>,
    ) -> Result<(), SharedDataError> {
        let mut shared = self.shared.borrow_mut();
        let (bytes, current) = shared.entry(key.to_owned()).or_default();
        if version.is_some_and(|version| version.get() != *current) {
            return Err(SharedDataError::Conflict);
        }
        *bytes = value.to_vec();
        *current += 1;
        Ok(())
    }

    fn dispatch(&self, _: &Callout) -> Result<CalloutId, HostError> {
        Err(HostError)
    }

    fn count(&self, _: Counter) {}

    fn adjust(&self, _: Gauge<'_>, _: Change) {}

    fn log(&self, _: LogLevel, _: &str) {}
}
