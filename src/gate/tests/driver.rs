//! Drives one worker's streams: requests, bodies, tokens, a configuration.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::*;
use serde_json::{Value, json};

use crate::config;
use crate::gate::*;
use crate::host::fake::{FakeHost, START};
use crate::host::{CalloutAnswer, CalloutId};
use crate::mcp::{Principal, SealKey, SessionSeals};
use crate::policy::{Decision, Mode, Obligations, Reason};
use crate::reply::LocalReply;
use crate::token::{AccessToken, PeerConnection};

pub(super) const RESOURCE: &str = "https://mcp.example/mcp";
pub(super) const BOTH_MODES: [HostMode; 2] = [HostMode::Stream, HostMode::Hold];

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::generate().with_key_id("k1"));

/// A server whose callers may list, search with `docs.read`, delete with two scopes.
pub(super) fn config(mode: HostMode) -> Value {
    json!({
        "host_mode": mode,
        "issuers": { "corp": {
            "issuer": "https://idp.example",
            "jwks": { "keys": jwks()["keys"] },
            "algorithms": ["EdDSA"],
        } },
        "servers": [{
            "resource": RESOURCE,
            "issuers": ["corp"],
            "allowed_origins": ["https://app.example"],
            "metadata": { "scopes_supported": ["docs.read", "docs.list"] },
            "methods": { "allow": ["initialize", "tools/list", "notifications/*"] },
            "tools": { "rules": [
                { "names": ["search"], "scopes": ["docs.read"] },
                { "names": ["delete"], "scopes": ["docs.read", "docs.admin"] },
            ] },
            "resources": { "rules": [{ "uris": ["docs://*"], "scopes": [] }] },
        }],
    })
}

/// The server of [`config`].
pub(super) fn server() -> Server {
    let document = config(HostMode::Stream).to_string();
    let loaded = config::load(document.as_bytes(), &config::Secrets::assumed()).unwrap();
    loaded.enforcement.servers.into_iter().next().unwrap()
}

/// What a token of its issuer says.
pub(super) fn access_token() -> AccessToken {
    AccessToken { audiences: vec![RESOURCE.to_owned()], ..AccessToken::assumed() }
}

/// Policy says no.
pub(super) fn denied_for(reason: Reason) -> Decision {
    Decision {
        outcome: crate::policy::Outcome::Deny(reason),
        mode: Mode::Enforce,
        agent: None,
        required_scopes: BTreeSet::from(["docs.admin".to_owned()]),
        step_up: None,
        rules: vec!["rules[0]".to_owned()],
        obligations: Obligations::default(),
    }
}

/// The same, with keys that must be fetched.
pub(super) fn remote_keys(mode: HostMode) -> Value {
    let mut config = config(mode);
    config["issuers"]["corp"]["jwks"] =
        json!({ "uri": "https://idp.example/jwks", "cluster": "idp" });
    config
}

/// The same as [`config`], where the issuer is asked about the token of every `search`.
pub(super) fn asked(mode: HostMode) -> Value {
    let mut config = config(mode);
    config["issuers"]["corp"]["introspection"] = json!({
        "uri": "https://idp.example/introspect",
        "cluster": "idp",
        "tokens": "by_rule",
        "client": { "method": "injected" },
    });
    config["servers"][0]["tools"]["rules"][0]["introspect"] = json!("fresh");
    config
}

/// An introspection answer for an active token with these scopes.
pub(super) fn active(scope: &str) -> Value {
    json!({ "active": true, "sub": "alice", "client_id": "agent", "scope": scope })
}

fn jwks() -> Value {
    let x = URL_SAFE_NO_PAD.encode(KEY.public_key().to_bytes());
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k1", "x": x }] })
}

/// Claims of a token that is good for the configured server for five minutes.
pub(super) fn claims(scope: &str) -> Value {
    json!({
        "iss": "https://idp.example",
        "aud": RESOURCE,
        "sub": "alice",
        "client_id": "agent",
        "scope": scope,
        "iat": START.as_secs(),
        "exp": START.as_secs() + 300,
        "jti": "id-1",
    })
}

/// Signs a token.
pub(super) fn sign(claims: Value, token_type: &str) -> String {
    let claims = JWTClaims {
        issued_at: None,
        expires_at: None,
        invalid_before: None,
        issuer: None,
        subject: None,
        audiences: None,
        jwt_id: None,
        nonce: None,
        custom: claims,
    };
    let options =
        HeaderOptions { signature_type: Some(token_type.to_owned()), ..HeaderOptions::default() };
    KEY.sign_with_options(claims, &options).unwrap()
}

/// A token with these scopes.
pub(super) fn token(scope: &str) -> String {
    sign(claims(scope), "at+jwt")
}

/// A `tools/call` of the legacy era.
pub(super) fn call(tool: &str) -> String {
    rpc("tools/call", &json!({ "name": tool }))
}

/// A request of the legacy era, with id 7.
pub(super) fn rpc(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
}

/// A notification of the legacy era.
pub(super) fn notification(method: &str) -> String {
    json!({ "jsonrpc": "2.0", "method": method }).to_string()
}

/// A request of revision 2026-07-28: the headers that mirror it, and its body.
pub(super) fn modern(method: &str, name: Option<&str>) -> (Request, String) {
    let mut params = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    let mut request = Request::post(&token("docs.read"))
        .with("mcp-protocol-version", "2026-07-28")
        .with("mcp-method", method);
    if let Some(name) = name {
        params["name"] = json!(name);
        request = request.with("mcp-name", name);
    }
    (request, rpc(method, &params))
}

/// Request headers.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) lines: Vec<(String, Vec<u8>)>,
    pub(super) end: bool,
}

impl Request {
    /// A POST that a message follows, with this token.
    pub(super) fn post(token: &str) -> Self {
        let request = Request { lines: Vec::new(), end: false }
            .line(":method", "POST")
            .line(":scheme", "https")
            .line(":authority", "mcp.example")
            .line(":path", "/mcp")
            .line("content-type", "application/json");
        request.line("authorization", format!("Bearer {token}"))
    }

    /// A request of that method without a body.
    pub(super) fn bodiless(method: &str, token: &str) -> Self {
        let request = Request { end: true, ..Request::post(token) };
        request.without("content-type").with(":method", method)
    }

    /// One more line.
    pub(super) fn line(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.lines.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// This as the only line of its name.
    pub(super) fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).line(name, value)
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.lines.retain(|(n, _)| n != name);
        self
    }

    /// Whether the request ends with its headers.
    pub(super) fn ending(self, end: bool) -> Self {
        Request { end, ..self }
    }
}

/// A body, all of it in the host's buffer.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Buffer for Bytes<'_> {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn read(&self) -> Option<Vec<u8>> {
        Some(self.0.to_vec())
    }
}

/// A body of that size which the host does not give.
pub(super) struct Withheld(pub(super) usize);

impl Buffer for Withheld {
    fn size(&self) -> usize {
        self.0
    }

    fn read(&self) -> Option<Vec<u8>> {
        None
    }
}

/// One worker and its current stream.
pub(super) struct Driver {
    pub(super) gate: Gate,
    pub(super) worker: Worker,
    pub(super) host: FakeHost,
    /// Who is at the other end of the connection.
    pub(super) peer: PeerConnection,
}

impl Driver {
    /// A worker that enforces this configuration.
    pub(super) fn of(config: &Value) -> Self {
        Driver::changed(config, |_| {})
    }

    /// The same, of which something is changed.
    pub(super) fn changed(config: &Value, change: impl FnOnce(&mut Enforcement)) -> Self {
        let loaded = config::load(config.to_string().as_bytes(), &config::Secrets::assumed())
            .expect("the configuration loads");
        let host = FakeHost::new();
        let mut enforcement = Enforcement { session_keys: vec![seal_key()], ..loaded.enforcement };
        change(&mut enforcement);
        let config::Loaded { issuers, workload_identity, nonce_keys, .. } = loaded;
        let mut worker = Worker::new(enforcement, issuers, workload_identity, nonce_keys, "v1");
        worker.prepare(&host).unwrap();
        Driver { gate: Gate::new(), worker, host, peer: PeerConnection::default() }
    }

    pub(super) fn new(mode: HostMode) -> Self {
        Driver::of(&config(mode))
    }

    /// A stream whose request arrived and was allowed so far as its body is awaited.
    pub(super) fn sent(mode: HostMode, request: &Request, body: &str) -> (Self, Effects) {
        let mut driver = Driver::new(mode);
        let arrived = driver.request(request);
        assert_eq!(arrived.reply, None, "{}", driver.done());
        let decided = driver.body(body, true);
        (driver, decided)
    }

    /// A stream whose list request went on.
    pub(super) fn listing(token: &str) -> Self {
        let (driver, decided) =
            Driver::sent(HostMode::Hold, &Request::post(token), &rpc("tools/list", &json!({})));
        assert_eq!(decided.flow, Flow::Continue);
        driver
    }

    pub(super) fn on(&mut self, event: Event<'_>) -> Effects {
        self.gate.on(event, &mut self.worker, &self.host)
    }

    /// Request headers, on a new stream.
    pub(super) fn request(&mut self, request: &Request) -> Effects {
        self.gate = Gate::new();
        self.headers(request, true)
    }

    pub(super) fn headers(&mut self, request: &Request, may_wait: bool) -> Effects {
        let Request { lines, end } = request.clone();
        self.worker.set_may_wait(may_wait);
        let peer = self.peer.clone();
        self.on(Event::RequestHeaders {
            headers: Headers::new(lines),
            end,
            source: Some("192.0.2.1:4711".to_owned()),
            received: Some(100),
            peer: &|| peer.clone(),
        })
    }

    pub(super) fn body(&mut self, body: &str, end: bool) -> Effects {
        self.on(Event::RequestBody { body: &Bytes(body.as_bytes()), end })
    }

    pub(super) fn trailers(&mut self, body: &str) -> Effects {
        let names = vec!["x-trailer".to_owned()];
        self.on(Event::RequestTrailers { names, body: &Bytes(body.as_bytes()) })
    }

    /// The awaited fetch ends with this status, at 200 with the keys; the stream is told.
    pub(super) fn keys_settle(&mut self, status: u16, body: &str) -> Effects {
        self.settle(status, &jwks(), body)
    }

    /// The awaited fetch ends with this answer; the stream, of which this is the body, is told.
    pub(super) fn settle(&mut self, status: u16, answer: &Value, body: &str) -> Effects {
        let _ = self.worker.on_tick(&self.host);
        let fetch = self.host.callouts.borrow().len();
        let answer = CalloutAnswer {
            status: Some(status),
            headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
            body: Some(answer.to_string().into_bytes()),
        };
        let _ =
            self.worker.on_callout(CalloutId(u32::try_from(fetch).unwrap()), &answer, &self.host);
        self.on(Event::Settled { body: &Bytes(body.as_bytes()) })
    }

    pub(super) fn hold_check(&mut self, received: u64) -> Effects {
        self.on(Event::HoldCheck { received: Some(received) })
    }

    /// Response headers from the MCP server.
    pub(super) fn response(&mut self, lines: &[(&str, &str)], end: bool) -> Effects {
        self.response_of(lines, end, true)
    }

    pub(super) fn response_of(
        &mut self,
        lines: &[(&str, &str)],
        end: bool,
        upstream: bool,
    ) -> Effects {
        let lines = lines.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()));
        let headers = Headers::new(lines.collect());
        self.on(Event::ResponseHeaders { headers, end, from_upstream: &|| upstream })
    }

    pub(super) fn response_body(&mut self, body: &str, end: bool) -> Effects {
        self.on(Event::ResponseBody { body: &Bytes(body.as_bytes()), end })
    }

    /// The stream ends: its record.
    pub(super) fn done(&mut self) -> Value {
        let record = self.on(Event::Done).record.expect("a record");
        serde_json::from_str(&record).unwrap()
    }

    /// Asserts that effects are this refusal, that the record tells it, and returns
    /// the reply.
    #[track_caller]
    pub(super) fn denied(&mut self, effects: Effects, status: u16, code: &str) -> LocalReply {
        self.denied_and_recorded(effects, status, code).0
    }

    /// The same, with the record.
    #[track_caller]
    pub(super) fn denied_and_recorded(
        &mut self,
        effects: Effects,
        status: u16,
        code: &str,
    ) -> (LocalReply, Value) {
        let record = self.done();
        let told = (record["outcome"].as_str(), record["code"].as_str());
        assert_eq!(told, (Some("deny"), Some(code)), "{record}");
        assert_eq!(effects.flow, Flow::Pause);
        assert_eq!(effects.request_headers, []);
        let reply = effects.reply.expect("a reply");
        assert_eq!(reply.status, status, "{record}");
        (reply, record)
    }
}

fn seal_key() -> SealKey {
    SealKey::new(vec![7; SealKey::MIN_BYTES]).unwrap()
}

/// The session that the server knows by this id, as it was given to the subject of [`claims`].
pub(super) fn sealed(id: &str) -> String {
    sealed_for(id, ["https://idp.example", "alice", "agent", RESOURCE])
}

/// The same, as it was given to somebody else.
pub(super) fn sealed_for(id: &str, owner: [&str; 4]) -> String {
    let seals = SessionSeals::new(vec![seal_key()]);
    seals.seal(id, &Principal::of(owner), &FakeHost::new()).unwrap().expect("a sealed session")
}

/// The session of HTTP+SSE whose messages the server takes with this query, as the subject of
/// [`claims`] was given it.
pub(super) fn sealed_in_url(query: &str) -> String {
    sealed_in_url_for(query, ["https://idp.example", "alice", "agent", RESOURCE])
}

/// The same, as it was given to somebody else.
pub(super) fn sealed_in_url_for(query: &str, owner: [&str; 4]) -> String {
    let seals = SessionSeals::in_url(vec![seal_key()]);
    seals.seal(query, &Principal::of(owner), &FakeHost::new()).unwrap().expect("a sealed session")
}

/// The value of a reply's header.
pub(super) fn header<'a>(reply: &'a LocalReply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
}

/// A reply's body.
pub(super) fn json_of(reply: &LocalReply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}
