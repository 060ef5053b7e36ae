//! What profiles ask for, and what they take for an answer.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "tests may panic"
)]

mod errors;
mod generated;
mod judgements;
mod requests;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::exchange::{
    BoundTokens, ClientCredentials, ExchangeId, Expected, Format, IdentityChaining, OnBehalfOf,
    Subject, Target, TokenEndpoint, TokenType, TokenVault,
};
use crate::host::fake::START;
use crate::token::{
    AccessToken, ClientAuthentication, Secret, SpiffeId, SubjectKind, TokenDigest, Verified,
};

const ISSUER: &str = "https://idp.example";
const RESOURCE: &str = "https://mcp.example/mcp";
const SECOND: &str = "https://as.resource.example";
const CLIENT: &str = "gateway";
const SECRET: &str = "s3cr3t";
const WORKLOAD: &str = "spiffe://corp.example/agent";

/// A request that wants a credential.
struct Request {
    scopes: BTreeSet<String>,
    token: String,
    digest: TokenDigest,
    claims: Rc<Verified<AccessToken>>,
    jwt_svid: Option<(String, SpiffeId)>,
    agent_token: Option<String>,
}

impl Request {
    /// Of this caller, for these scopes.
    fn new(caller: AccessToken, scopes: &[&str]) -> Self {
        let claims = json!({"iss": caller.issuer_url, "sub": caller.subject, "jti": "callers"});
        let token = jwt("at+jwt", &claims);
        Request {
            scopes: set(scopes),
            digest: TokenDigest::of(&token),
            token,
            claims: Rc::new(Verified::assumed(caller)),
            jwt_svid: Some(("svid".to_owned(), SpiffeId::parse(WORKLOAD).unwrap())),
            agent_token: Some("agents".to_owned()),
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        let jwt_svid = self.jwt_svid.as_ref().map(|(token, id)| (token.as_str(), id));
        let subject = Subject {
            token: &self.token,
            digest: &self.digest,
            claims: &self.claims,
            epoch: 0,
            jwt_svid,
            agent_token: self.agent_token.as_deref(),
        };
        Wanted { exchange: ExchangeId(0), scopes: &self.scopes, subject }
    }

    fn wish(&self) -> Wish {
        let depends_on = DependsOn { subject: true, jwt_svid: true, agent_token: true };
        Wish::of(&self.wanted(), depends_on)
    }
}

/// One of [`caller`].
fn request(scopes: &[&str]) -> Request {
    Request::new(caller(), scopes)
}

fn caller() -> AccessToken {
    AccessToken {
        issuer_url: ISSUER.to_owned(),
        scopes: set(&["docs.read", "docs.write"]),
        tenant: Some("72f988bf-86f1-41af-91ab-2d7cd011db47".to_owned()),
        ..AccessToken::assumed()
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + START
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// A JWT. Nobody here looks at its signature.
fn jwt(typ: &str, claims: &Value) -> String {
    let header = json!({"alg": "ES256", "kid": "k", "typ": typ});
    let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(&header), part(claims))
}

/// `value` with other members, or without those that are null.
fn with(value: &Value, changes: &Value) -> Value {
    let mut members = value.as_object().unwrap().clone();
    for (name, change) in changes.as_object().unwrap() {
        if change.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), change.clone());
        }
    }
    Value::Object(members)
}

fn basic(client_id: &str, secret: &str) -> ClientAuthentication {
    let secret = Secret::new(secret.to_owned());
    ClientAuthentication::ClientSecretBasic { client_id: client_id.to_owned(), secret }
}

fn endpoint(authority: &str, path: &str, client: ClientAuthentication) -> TokenEndpoint {
    let request = Callout {
        cluster: "idp".to_owned(),
        method: "POST",
        scheme: "https".to_owned(),
        authority: authority.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(2),
    };
    TokenEndpoint { request, client }
}

fn idp() -> TokenEndpoint {
    endpoint("idp.example", "/token", basic(CLIENT, SECRET))
}

fn resource(uri: &str) -> Target {
    Target { resources: vec![uri.to_owned()], audiences: Vec::new() }
}

fn expected_jwt() -> Expected {
    let format = Format::Jwt { audiences: vec![RESOURCE.to_owned()], actors: None };
    Expected { format, bound: BoundTokens::Refuse }
}

fn expected_opaque() -> Expected {
    Expected { format: Format::Opaque, bound: BoundTokens::Refuse }
}

fn token_exchange() -> TokenExchange {
    TokenExchange {
        endpoint: idp(),
        target: resource(RESOURCE),
        subject_token_type: TokenType::AccessToken,
        requested_token_type: None,
        actor: None,
        expected: expected_jwt(),
    }
}

fn own_actor() -> ActorToken {
    ActorToken::Own { target: Target::default(), scopes: Vec::new() }
}

fn on_behalf_of() -> OnBehalfOf {
    let client = ClientAuthentication::ClientSecretPost {
        client_id: CLIENT.to_owned(),
        secret: Secret::new(SECRET.to_owned()),
    };
    let endpoint = endpoint("login.microsoftonline.com", "/{tid}/oauth2/v2.0/token", client);
    OnBehalfOf { endpoint, expected: expected_opaque() }
}

fn token_vault() -> TokenVault {
    TokenVault {
        endpoint: idp(),
        connection: "google-oauth2".into(),
        link_uri: Some("https://app.example/link".into()),
    }
}

fn identity_chaining(assertion: TokenType) -> IdentityChaining {
    let audiences = vec![SECOND.to_owned()];
    IdentityChaining {
        first: idp(),
        target: Target { audiences, ..resource(RESOURCE) },
        assertion,
        subject_token_type: TokenType::AccessToken,
        second: endpoint("as.resource.example", "/token", basic("second", SECRET)),
        second_target: Target::default(),
        expected: expected_opaque(),
    }
}

fn client_credentials(target: Target) -> ClientCredentials {
    ClientCredentials { endpoint: idp(), target, expected: expected_opaque() }
}

/// The claims of a token that [`token_exchange`] takes.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "alice", "aud": RESOURCE, "jti": "t1",
        "exp": START.as_secs() + 600, "scope": "docs.read",
    })
}

/// An answer with this token.
fn body(token: &str) -> Value {
    json!({
        "access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": "docs.read",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    })
}

fn answer(status: u16, body: &str) -> CalloutAnswer {
    let headers = vec![("content-type".to_owned(), b"application/json;charset=UTF-8".to_vec())];
    CalloutAnswer { status: Some(status), headers, body: Some(body.as_bytes().to_vec()) }
}

/// What an answer to the exchange is taken for.
fn read(profile: &Profile, request: &Request, answer: &CalloutAnswer) -> Outcome {
    read_step(profile, Step::Exchange, request, answer)
}

type Outcome = Result<Credential, ExchangeError>;

fn read_step(profile: &Profile, step: Step, request: &Request, answer: &CalloutAnswer) -> Outcome {
    read_after(profile, step, request, &Gained::default(), answer)
}

/// The same of a step before which something was gained.
fn read_after(
    profile: &Profile,
    step: Step,
    request: &Request,
    gained: &Gained,
    answer: &CalloutAnswer,
) -> Outcome {
    match profile.read(step, &request.wish(), gained, answer, now())? {
        Gain::Credential(credential) => Ok(credential),
        Gain::Assertion(_) => panic!("an assertion is no credential"),
    }
}

/// An assertion for these scopes.
fn gained_assertion(token: &str, scopes: Option<&[&str]>) -> Gained {
    let token = Secret::new(token.to_owned());
    Gained { actor: None, assertion: Some(Assertion { token, granted: scopes.map(set) }) }
}

/// The same of an answer that is a token response.
fn read_body(profile: &Profile, request: &Request, body: &Value) -> Outcome {
    read(profile, request, &answer(200, &body.to_string()))
}

/// Asserts what an answer is taken for, of which a member or another thing is `case`.
#[track_caller]
fn assert_flaw<T>(read: Result<T, ExchangeError>, flaw: Option<Flaw>, case: &dyn std::fmt::Debug) {
    assert_eq!(read.err(), flaw.map(ExchangeError::Unusable), "{case:?}");
}
