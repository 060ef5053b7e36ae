//! What every theme of exchanges needs: servers with a credential of their own, callers who
//! call more than once, and an authorization server.

use crate::callers::{call_of, claiming, modern, modern_call_of, policed};
use crate::host::{Callout, HostFlag, Stream, Vm};
use crate::support::{
    ISSUER, Lines, assert_refused, assert_withheld, encode, post, record, send, sign, sign_as,
    written_keys,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

/// The MCP server as its own authorization server knows it.
pub(crate) const TARGET: &str = "https://docs.internal.example/mcp";

/// What the filter is known as at the authorization server.
pub(crate) const CLIENT: &str = "gateway";

pub(crate) const SECRET: &str = "a-client-secret-of-ours";

pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

pub(crate) const PLAIN: [(&str, &str); 1] = [("content-type", "application/json")];

/// How long the credentials of these tests live, where they do not say otherwise.
pub(crate) const LIFE: Duration = Duration::from_secs(300);

/// How long a request to the authorization server may take, and a while: then it is given up.
pub(crate) const LOST: Duration = Duration::from_secs(11);

/// How we authenticate with a secret of the environment.
pub(crate) fn client(method: &str) -> Value {
    json!({ "method": method, "client_id": CLIENT, "client_secret": { "env": "AS_SECRET" } })
}

/// An exchange by RFC 8693 for [`TARGET`].
pub(crate) fn token_exchange() -> Value {
    json!({
        "profile": "token_exchange", "uri": "https://idp.example.com/token?tenant=1",
        "cluster": "as", "client": client("client_secret_basic"), "resource": [TARGET],
        "server_scopes": ["server.use"],
    })
}

/// The configuration whose server has that exchange, named `docs`.
pub(crate) fn exchanging(mode: &str, exchange: Value) -> Value {
    let document = json!({ "exchanges": { "docs": exchange } });
    policed(mode, document, json!({ "exchange": "docs" }))
}

/// Starts the module, with the secret in its environment.
pub(crate) fn start(flag: HostFlag, document: &Value) -> Vm {
    started(Vm::with(flag).environment("AS_SECRET", SECRET).start(document))
}

/// Another worker of the process that `vm` is of.
pub(crate) fn start_beside(vm: &Vm, flag: HostFlag, document: &Value) -> Vm {
    let builder = Vm::with(flag).now(vm.now()).beside(vm).environment("AS_SECRET", SECRET);
    started(builder.start(document))
}

#[track_caller]
fn started(result: Result<Vm, crate::host::ConfigRejected>) -> Vm {
    result.unwrap_or_else(|rejected| panic!("{:?}", rejected.log))
}

/// Somebody with a token, which stays the same.
pub(crate) struct Caller {
    pub(crate) token: String,
}

impl Caller {
    /// With these claims in a good token that has both scopes of the tools.
    pub(crate) fn new(vm: &Vm, other: Value) -> Self {
        let mut claims = claiming(vm, json!({ "scope": "docs.read docs.write" }));
        claims = crate::callers::merged(claims, other);
        Caller { token: sign("k1", &claims) }
    }

    /// Alice.
    pub(crate) fn alice(vm: &Vm) -> Self {
        Caller::new(vm, json!({}))
    }

    pub(crate) fn named(vm: &Vm, name: &str) -> Self {
        Caller::new(vm, json!({ "sub": name, "jti": name }))
    }

    pub(crate) fn lines(&self) -> Lines {
        post(&self.token)
    }

    /// Calls a tool as a client of revision 2026-07-28 does.
    pub(crate) fn call(&self, vm: &Vm, tool: &str) -> Stream {
        send(vm, modern(self.lines(), tool), &modern_call_of(tool))
    }

    /// Calls it as older clients do.
    pub(crate) fn call_legacy(&self, vm: &Vm, tool: &str) -> Stream {
        send(vm, self.lines(), &call_of(tool))
    }
}

/// The members of a form.
pub(crate) fn pairs(callout: &Callout) -> Vec<(String, String)> {
    form_urlencoded::parse(&callout.body).into_owned().collect()
}

/// The same, and none is there twice.
pub(crate) fn form(callout: &Callout) -> BTreeMap<String, String> {
    let pairs = pairs(callout);
    let members: BTreeMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(members.len(), pairs.len(), "{pairs:?}");
    members
}

/// The form, and no other members.
#[track_caller]
pub(crate) fn assert_form(callout: &Callout, expected: &[(&str, &str)]) {
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(form(callout), expected);
}

/// Ticks, and takes the one request that is then under way.
#[track_caller]
pub(crate) fn asked(vm: &Vm) -> Callout {
    vm.tick();
    let mut pending = vm.pending_callouts();
    assert_eq!(pending.len(), 1, "{pending:?}, {:?}", vm.log());
    pending.remove(0)
}

/// Ticks, and nothing new is asked.
#[track_caller]
pub(crate) fn assert_nothing_asked(vm: &Vm) {
    let before = vm.callouts().len();
    vm.tick();
    assert_eq!(vm.callouts().len(), before, "{:?}", vm.callouts().last());
}

/// The claims of a good credential for [`TARGET`]: as an authorization server that is also the
/// caller's issuer makes it for Alice. No two are the same.
pub(crate) fn credential_claims(vm: &Vm, scope: &str) -> Value {
    thread_local!(static NUMBER: Cell<u32> = const { Cell::new(0) });
    let number = NUMBER.replace(NUMBER.get() + 1);
    let now = vm.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": ISSUER, "aud": TARGET, "sub": "alice", "client_id": CLIENT,
        "jti": format!("credential-{number}"),
        "iat": now, "exp": now + LIFE.as_secs(), "scope": scope,
    })
}

/// A credential with those claims.
pub(crate) fn mint(claims: &Value) -> String {
    sign_as("at+jwt", "downstream", claims)
}

/// The answer that has that token.
pub(crate) fn granted(token: &str, scope: &str) -> Value {
    json!({
        "access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
        "expires_in": LIFE.as_secs(), "scope": scope,
    })
}

/// Answers with that body.
pub(crate) fn say(vm: &Vm, callout: &Callout, answer: &Value) {
    vm.answer(callout, 200, PLAIN, answer.to_string());
}

/// Answers as RFC 6749 section 5.2 has it.
pub(crate) fn refuse(vm: &Vm, callout: &Callout, error: &str) {
    let answer = json!({ "error": error, "error_description": "of no business of callers" });
    vm.answer(callout, 400, PLAIN, answer.to_string());
}

/// Answers with a good credential for what is asked for, and whoever asks. Returns it.
pub(crate) fn grant(vm: &Vm, callout: &Callout) -> String {
    let asked = form(callout);
    let scope = asked.get("scope").cloned().unwrap_or_default();
    let mut claims = credential_claims(vm, &scope);
    if let Some(subject) = asked.get("subject_token") {
        claims["sub"] = payload(subject)["sub"].clone();
    }
    let token = mint(&claims);
    say(vm, callout, &granted(&token, &scope));
    token
}

/// Ticks, and grants what the one request that is then under way asks for.
#[track_caller]
pub(crate) fn grant_next(vm: &Vm) -> String {
    grant(vm, &asked(vm))
}

/// What a JWT says, or `null`.
pub(crate) fn payload(token: &str) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = token.split('.').nth(1).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// It waits for its credential: nothing of it is at the server, in no mode.
#[track_caller]
pub(crate) fn assert_waits(stream: &Stream) {
    assert_withheld(stream, "hold");
    assert_eq!(stream.downstream().status(), None, "{:?}", stream.downstream());
}

/// The request is at the server as a whole, with that credential and no other. It is answered,
/// and the record has that outcome.
#[track_caller]
pub(crate) fn assert_went_with(stream: &Stream, credential: &str, outcome: &str) {
    let upstream = stream.upstream();
    assert!(upstream.ended(), "{upstream:?}, {:?}", stream.downstream());
    assert_carries(stream, credential);
    crate::support::answer(stream);
    let record = record(stream);
    assert_eq!(record["outcome"], "allow", "{record}");
    let exchange = &record["exchange"];
    assert_eq!(exchange["name"], "docs", "{record}");
    assert_eq!(exchange["outcome"], outcome, "{record}");
    assert_eq!(exchange["credential"], id(credential), "{record}");
}

/// What is at the server has that credential, once.
#[track_caller]
pub(crate) fn assert_carries(stream: &Stream, credential: &str) {
    let upstream = stream.upstream();
    let headers = upstream.headers().unwrap_or_else(|| panic!("{:?}", stream.downstream()));
    let sent: Vec<&[u8]> = headers.all("authorization").collect();
    assert_eq!(sent, [format!("Bearer {credential}").as_bytes()], "{upstream:?}");
}

/// What the record calls a credential by.
pub(crate) fn id(credential: &str) -> String {
    let claims = payload(credential);
    let named = claims["jti"].as_str().unwrap_or(credential);
    Sha256::digest(named).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// It was refused for want of a credential: nothing of it is at the server, in no mode, and the
/// record says of the exchange what went wrong.
#[track_caller]
pub(crate) fn assert_has_none(stream: &Stream, status: u16, code: &str) {
    assert_refused(stream, "hold", status, code);
    let record = record(stream);
    assert_eq!(record["exchange"]["name"], "docs", "{record}");
    assert_eq!(record["exchange"]["outcome"], code, "{record}");
    assert_eq!(stream.downstream().header("www-authenticate").is_some(), status == 401);
}

/// Calls, and sees what is granted go along.
#[track_caller]
pub(crate) fn assert_exchanges(vm: &Vm, caller: &Caller, tool: &str) -> String {
    let stream = caller.call(vm, tool);
    assert_waits(&stream);
    let credential = grant_next(vm);
    assert_went_with(&stream, &credential, "exchanged");
    credential
}

/// None of these texts is anywhere in what the module told the host, other workers, operators
/// and clients. What goes to the authorization server is not looked at, and of what goes to MCP
/// servers only the credential in its place is not.
#[track_caller]
pub(crate) fn assert_told_nobody(vm: &Vm, streams: &[&Stream], secrets: &[&str]) {
    let is_credential = |arguments: &str| arguments.starts_with("0 authorization: ");
    let calls = vm.calls().into_iter();
    let calls = calls
        .filter(|call| call.name != "proxy_http_call" && !is_credential(&call.arguments))
        .map(|call| call.arguments);
    let logged = vm.log().into_iter().map(|line| line.message);
    let metrics = vm.metrics().into_keys();
    let shared = written_keys(vm).into_iter().filter_map(|key| vm.shared_data(&key));
    let shared = shared.map(|(value, _)| String::from_utf8_lossy(&value).into_owned());
    let of_stream = |stream: &&Stream| {
        let state = stream.filter_state().into_values();
        let state = state.map(|value| String::from_utf8_lossy(&value).into_owned());
        state.chain([format!("{:?}", stream.downstream())]).collect::<Vec<_>>()
    };
    let streams = streams.iter().flat_map(of_stream);
    for text in calls.chain(logged).chain(metrics).chain(shared).chain(streams) {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

/// The subjects of the tokens that are exchanged.
pub(crate) fn subjects(callouts: &[Callout]) -> BTreeSet<String> {
    let subject = |callout: &Callout| payload(&form(callout)["subject_token"])["sub"].clone();
    callouts.iter().map(|callout| subject(callout).as_str().unwrap().to_owned()).collect()
}

/// A token that says nothing to who reads it.
pub(crate) fn opaque(number: u8) -> String {
    format!("opaque-{}", encode([number; 24]).to_ascii_lowercase())
}

/// The configuration with these members of its exchange.
pub(crate) fn with_members(exchange: Value, members: Value) -> Value {
    crate::callers::merged(exchange, members)
}
