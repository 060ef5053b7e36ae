//! One exchange of a worker, whose authorization server speaks a protocol made for tests.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::exchange::profile::{DependsOn, Gain, Step};
use crate::exchange::protocol::Protocol;
use crate::exchange::wish::{Assertion, Gained, Wish};
use crate::exchange::{
    Credential, Errand, ExchangeError, ExchangeId, Exchanger, Flaw, Origin, Outcome, Scheme,
    Subject, Wanted,
};
use crate::host::fake::FakeHost;
use crate::host::{Callout, CalloutAnswer, CalloutId, Change, Counter, Host, HostError};
use crate::token::{AccessToken, Secret, SpiffeId, TokenDigest, Verified};

pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// Nothing that callers bring.
pub(super) const OF_NOTHING: DependsOn =
    DependsOn { subject: false, jwt_svid: false, agent_token: false };

/// The caller's token and nothing else.
pub(super) const OF_CALLER: DependsOn =
    DependsOn { subject: true, jwt_svid: false, agent_token: false };

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A profile. Its requests say what they were made of; its answers are `<token> <seconds>` for
/// a credential, `assertion <text>`, or the code of an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Double {
    pub(super) depends_on: DependsOn,
    pub(super) needs_own_actor: bool,
    pub(super) redeems: bool,
}

impl Double {
    pub(super) fn depending_on(depends_on: DependsOn) -> Self {
        Double { depends_on, needs_own_actor: false, redeems: false }
    }
}

impl Protocol for Double {
    fn check(&self, wanted: &Wanted<'_>) -> Result<(), ExchangeError> {
        let lacks = self.depends_on.agent_token && wanted.subject.agent_token.is_none();
        if lacks { Err(ExchangeError::NoActor) } else { Ok(()) }
    }

    fn depends_on(&self) -> DependsOn {
        self.depends_on
    }

    fn needs_own_actor(&self) -> bool {
        self.needs_own_actor
    }

    fn redeems(&self) -> bool {
        self.redeems
    }

    fn request(
        &self,
        step: Step,
        wish: &Wish,
        gained: &Gained,
        host: &dyn Host,
    ) -> Result<Callout, HostError> {
        host.random()?;
        let assertion = gained.assertion.as_ref().map(|assertion| &assertion.token);
        let gained = assertion.or(gained.actor.as_ref());
        let gained = gained.map_or("", Secret::reveal);
        let body = match step {
            Step::Actor => "us".to_owned(),
            Step::Exchange | Step::Redeem => format!("{} {gained}", wish.token.reveal()),
        };
        Ok(Callout {
            cluster: "as".to_owned(),
            method: "POST",
            scheme: "https".to_owned(),
            authority: "as.example.com".to_owned(),
            path: format!("/{step:?}"),
            headers: Vec::new(),
            body: body.trim().to_owned().into_bytes(),
            timeout: TIMEOUT,
        })
    }

    fn read(
        &self,
        _: Step,
        wish: &Wish,
        _: &Gained,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        let retry_after = answer.header("retry-after").and_then(|text| text.parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        if answer.status.is_none_or(|status| status >= 500) {
            return Err(ExchangeError::Unavailable { reason: "it failed", retry_after });
        }
        let body = String::from_utf8(answer.body.clone().unwrap()).unwrap();
        match body.split_once(' ') {
            Some(("assertion", text)) => {
                let token = Secret::new(text.to_owned());
                Ok(Gain::Assertion(Assertion { token, granted: None }))
            }
            Some((token, life)) => Ok(Gain::Credential(Credential {
                scheme: Scheme::Bearer,
                token: Secret::new(token.to_owned()),
                granted: Some(wish.scopes.clone()),
                expires_at: now + Duration::from_secs(life.parse().unwrap()),
                id: [1; 32],
            })),
            None => Err(errors().into_iter().find(|error| error.code() == body).unwrap()),
        }
    }
}

/// What an answer may say.
fn errors() -> [ExchangeError; 11] {
    [
        ExchangeError::ClientRejected,
        ExchangeError::TargetRejected,
        ExchangeError::RequestRejected,
        ExchangeError::ScopeRefused,
        ExchangeError::Denied,
        ExchangeError::SubjectRejected,
        ExchangeError::InteractionRequired { claims: None },
        ExchangeError::NotLinked { connection: "github".into(), link_uri: None },
        ExchangeError::Unusable(Flaw::Malformed),
        ExchangeError::Unusable(Flaw::TooLarge),
        ExchangeError::Unusable(Flaw::Audience),
    ]
}

/// A request that needs a credential.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) token: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) agent_token: Option<&'static str>,
    pub(super) jwt_svid: Option<&'static str>,
    pub(super) epoch: u64,
}

impl Request {
    pub(super) fn by(token: &str) -> Self {
        let scopes = BTreeSet::from(["docs.read".to_owned()]);
        Request { token: token.to_owned(), scopes, agent_token: None, jwt_svid: None, epoch: 0 }
    }

    pub(super) fn for_scopes(self, scopes: &[&str]) -> Self {
        Request { scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(), ..self }
    }
}

/// The request of Alice.
pub(super) fn alice() -> Request {
    Request::by("alice-token")
}

/// A worker with the exchange `one`, and `other` that nobody takes unless the test says so.
pub(super) struct World {
    pub(super) host: FakeHost,
    pub(super) exchanger: Exchanger,
    claims: Rc<Verified<AccessToken>>,
}

impl World {
    pub(super) fn new() -> Self {
        World::with(Double::depending_on(OF_CALLER))
    }

    pub(super) fn with_own_actor() -> Self {
        World::with(Double { needs_own_actor: true, ..Double::depending_on(OF_CALLER) })
    }

    /// Whose exchange takes two steps at two servers.
    pub(super) fn with_assertion() -> Self {
        World::with(Double { redeems: true, ..Double::depending_on(OF_CALLER) })
    }

    pub(super) fn with(double: Double) -> Self {
        let exchange =
            |name: &str| -> (Rc<str>, Box<dyn Protocol>) { (name.into(), Box::new(double)) };
        World::of(Exchanger::speaking(["one", "other"].into_iter().map(exchange)))
    }

    pub(super) fn of(exchanger: Exchanger) -> Self {
        let claims = Rc::new(Verified::assumed(AccessToken::assumed()));
        World { host: FakeHost::new(), exchanger, claims }
    }

    pub(super) fn obtain_by(
        &mut self,
        exchange: usize,
        request: &Request,
        waited: Option<Errand>,
    ) -> Outcome {
        let workload = SpiffeId::parse("spiffe://corp.example/agent").unwrap();
        let digest = TokenDigest::of(&request.token);
        let subject = Subject {
            token: &request.token,
            digest: &digest,
            claims: &self.claims,
            epoch: request.epoch,
            jwt_svid: request.jwt_svid.map(|token| (token, &workload)),
            agent_token: request.agent_token,
        };
        let wanted = Wanted { exchange: ExchangeId(exchange), scopes: &request.scopes, subject };
        self.exchanger.obtain(&wanted, waited, &self.host)
    }

    pub(super) fn obtain(&mut self, request: &Request, waited: Option<Errand>) -> Outcome {
        self.obtain_by(0, request, waited)
    }

    /// The errand that a new request waits for.
    pub(super) fn waits(&mut self, request: &Request) -> Errand {
        match self.obtain(request, None) {
            Outcome::Waits(errand) => errand,
            other => panic!("{other:?}"),
        }
    }

    /// The token that a request gets now.
    pub(super) fn ready(&mut self, request: &Request, waited: Option<Errand>) -> (String, Origin) {
        match self.obtain(request, waited) {
            Outcome::Ready(credential, origin) => (credential.token.reveal().to_owned(), origin),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn refused(&mut self, request: &Request, waited: Option<Errand>) -> ExchangeError {
        match self.obtain(request, waited) {
            Outcome::Refused(error) => error,
            other => panic!("{other:?}"),
        }
    }

    /// How many requests were sent.
    pub(super) fn sent(&self) -> usize {
        self.host.callouts.borrow().len()
    }

    /// The last request: its path and its body.
    pub(super) fn last_sent(&self) -> (String, String) {
        let callouts = self.host.callouts.borrow();
        let last = callouts.last().unwrap();
        (last.path.clone(), String::from_utf8(last.body.clone()).unwrap())
    }

    pub(super) fn tick(&mut self) -> Vec<Errand> {
        self.exchanger.on_tick(&self.host)
    }

    pub(super) fn answer(&mut self, place: usize, answer: &CalloutAnswer) -> Option<Vec<Errand>> {
        let id = CalloutId(u32::try_from(place).unwrap());
        self.exchanger.on_callout(id, answer, &self.host)
    }

    /// Answers the last request with 200 and that body.
    pub(super) fn say(&mut self, body: &str) -> Vec<Errand> {
        self.answer(self.sent(), &says(body)).unwrap()
    }

    /// Runs an errand of which the answer is that.
    pub(super) fn run(&mut self, request: &Request, answer: &CalloutAnswer) -> Errand {
        let errand = self.waits(request);
        let before = self.sent();
        assert_eq!(self.tick(), []);
        assert_eq!(self.sent(), before + 1);
        assert_eq!(self.answer(self.sent(), answer), Some(vec![errand]));
        errand
    }

    pub(super) fn counted(&self, counter: Counter) -> usize {
        self.host.counters.borrow().iter().filter(|&&other| other == counter).count()
    }

    /// Open circuits, as the gauge has them.
    pub(super) fn open_circuits(&self) -> isize {
        let gauges = self.host.gauges.borrow();
        gauges.iter().map(|(_, change)| if *change == Change::Up { 1 } else { -1 }).sum()
    }
}

pub(super) fn says(body: &str) -> CalloutAnswer {
    let body = Some(body.as_bytes().to_vec());
    CalloutAnswer { status: Some(200), headers: Vec::new(), body }
}

pub(super) fn fails() -> CalloutAnswer {
    CalloutAnswer { status: Some(503), ..CalloutAnswer::default() }
}

pub(super) fn fails_for(seconds: u64) -> CalloutAnswer {
    let headers = vec![("retry-after".to_owned(), seconds.to_string().into_bytes())];
    CalloutAnswer { headers, ..fails() }
}
