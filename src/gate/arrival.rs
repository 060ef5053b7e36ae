//! A request's headers, before anybody is authenticated: which server it is for,
//! whether its form is one MCP has, and which credential it brings. Pure functions.

use std::rc::Rc;

use memchr::memmem::Finder;

use super::denials::{challenge, refused, rejected};
use super::headers::{
    HeaderEdit, HeaderError, Headers, MIN_TOKEN_LEN, is_copied, is_json_content_type,
    percent_decode,
};
use super::http_sse::{HttpSse, Transport};
use super::relay::Reading;
use super::server::Server;
use super::worker::Worker;
use super::workloads::{Workload, WorkloadSources};
use crate::mcp::{
    Era, MODERN_VERSION, MessageEndpoint, PARAM_PREFIX, ParamLine, Refusal, RefusalReason,
    StandardHeaders,
};
use crate::reply::{ChallengeError, Code, Denial, RpcError};
use crate::token::{
    CertificateDigest, Credential, Demands, MAX_TOKEN, PeerConnection, ProofError, Requirement,
    Scheme, TokenError,
};

/// Headers that are ours to set. Whoever sends one is forging it.
const OUR_PREFIX: &str = "x-countersign-";

/// Headers decided on, or read by the MCP server, that may occur once. A second line,
/// of which some reader takes the first and another the last, is refused; so is one of
/// `authorization`, where [`credentials`] reads it.
const SINGLE: [&str; 10] = [
    "content-type",
    "content-encoding",
    "content-length",
    "host",
    "origin",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "last-event-id",
];

/// Headers that never go on to the MCP server: the caller's credentials, headers that
/// make some frameworks see another request than the one decided on, and
/// `Accept-Encoding`, because a compressed list cannot be filtered.
const NEVER_FORWARDED: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "dpop",
    "cookie",
    "accept-encoding",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Headers of the legacy era that revision 2026-07-28 has servers ignore, so that none
/// acts on what we did not look at.
const LEGACY_ONLY: [&str; 2] = ["mcp-session-id", "last-event-id"];

/// Longest session id, in bytes. Servers use UUIDs or signed tokens, which our seal makes
/// half as long again.
const MAX_SESSION_LEN: usize = 4 * 1024;

/// Longest name of an agent's instance, in bytes. UUIDs and names of pods are meant, and a
/// claim must say the same.
const MAX_INSTANCE_LEN: usize = 256;

/// Most `Mcp-Param-*` headers. Each is a parameter of one tool that somebody routes by, so
/// a handful is many; Envoy's own limit is 100 headers in all.
const MAX_PARAMS: usize = 64;

/// Most bytes of the names and values of `Mcp-Param-*` headers together: what servers
/// accept as all headers of a request.
const MAX_PARAMS_LEN: usize = 16 * 1024;

/// Where a request goes.
pub(super) enum Destination {
    /// To the metadata document of a server.
    Metadata(Rc<Server>),
    /// To a server.
    Endpoint(Rc<Server>, Place),
}

/// Where at a server a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To its endpoint.
    Endpoint,
    /// To where messages of HTTP+SSE are posted.
    Messages,
}

/// A request to an MCP endpoint whose form is right. Its bearer token is not verified.
pub(super) struct Arrival {
    pub(super) server: Rc<Server>,
    pub(super) method: HttpMethod,
    pub(super) transport: Transport,
    pub(super) headers: McpHeaders,
    /// The instance of the agent that the request says it is of.
    pub(super) instance: Option<String>,
    /// What the MCP server must not see.
    pub(super) strip: Vec<HeaderEdit>,
}

impl Arrival {
    /// The session that the request says it is in.
    pub(super) fn session_sent(&self) -> Option<&str> {
        self.headers.session.as_deref().filter(|session| !session.is_empty())
    }

    /// What the answer to a request without a body is read for; `None` for nothing.
    pub(super) fn reading(&self, worker: &Worker) -> Option<Reading> {
        match self.method {
            HttpMethod::Get if self.transport == Transport::HttpSse => {
                Some(Reading::Opens(Rc::clone(&worker.sessions_in_url)))
            }
            HttpMethod::Get if self.headers.resumes => Some(Reading::Replayed),
            HttpMethod::Get => Some(Reading::Watched { id: None }),
            HttpMethod::Post | HttpMethod::Delete => None,
        }
    }

    /// Keeps out every header that has one of the credentials in it: proxies before us may have
    /// copied it, and it stops here.
    ///
    /// # Errors
    /// A denial when it is in a header that the request cannot do without.
    pub(super) fn keep_out(
        &mut self,
        headers: &Headers,
        credentials: &Credentials,
    ) -> Result<(), Denial> {
        let finders: Vec<_> = credentials.to_keep_out().map(Finder::new).collect();
        for (name, value) in headers.iter() {
            let is_in = |text: &[u8]| finders.iter().any(|finder| is_copied(finder, text));
            let is_named_so = is_in(name.as_bytes());
            if !is_named_so && !is_in(value) {
                continue;
            }
            if name.starts_with(':') || SINGLE.contains(&name) || name.starts_with(MCP_PREFIX) {
                let place = if is_named_so { "the name of a header" } else { name };
                let reason = format!("a credential of the caller is also in {place}");
                return Err(mixed(&reason, &self.server));
            }
            let edit = HeaderEdit::Remove(name.to_owned());
            if !self.strip.contains(&edit) {
                self.strip.push(edit);
            }
        }
        Ok(())
    }

    /// Whether its headers say that it is of revision 2026-07-28.
    pub(super) fn claims_modern(&self) -> bool {
        self.headers.standard().claimed_era() == Some(Era::Modern)
    }

    /// What the server demands of the caller. A proof names the URL it goes to.
    pub(super) fn demands(&self) -> Demands<'_> {
        let demands = self.server.demands();
        match (self.transport, self.method, &self.server.http_sse) {
            (Transport::HttpSse, HttpMethod::Post, Some(HttpSse { dpop, .. })) => {
                Demands { dpop, ..demands }
            }
            _ => demands,
        }
    }
}

/// The HTTP methods of MCP (Streamable HTTP transport).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HttpMethod {
    /// A message.
    Post,
    /// The stream of a legacy session.
    Get,
    /// The end of a legacy session.
    Delete,
}

impl HttpMethod {
    fn as_str(self) -> &'static str {
        match self {
            HttpMethod::Post => "POST",
            HttpMethod::Get => "GET",
            HttpMethod::Delete => "DELETE",
        }
    }
}

/// The MCP headers, kept until the body can be compared with them.
#[derive(Debug, Default)]
pub(super) struct McpHeaders {
    protocol_version: Option<String>,
    method: Option<String>,
    name: Option<String>,
    params: Vec<ParamLine>,
    /// Of the legacy era: in the modern one the header means nothing. Over HTTP+SSE it is
    /// what the URL says.
    pub(super) session: Option<String>,
    /// Whether `Last-Event-ID` is present.
    resumes: bool,
}

impl McpHeaders {
    pub(super) fn standard(&self) -> StandardHeaders<'_> {
        StandardHeaders {
            protocol_version: self.protocol_version.as_deref(),
            method: self.method.as_deref(),
            name: self.name.as_deref(),
            params: &self.params,
            session: self.session.is_some(),
        }
    }

    pub(super) fn revision(&self) -> Option<&str> {
        self.protocol_version.as_deref()
    }
}

/// Finds the server by authority and path. The path is compared byte for byte: a
/// spelling that the proxy or the server would normalise to it is another path.
pub(super) fn destination(
    headers: &Headers,
    servers: &[Rc<Server>],
) -> Result<Destination, Denial> {
    let authority = required(headers, ":authority")?;
    let scheme = headers.informative(":scheme").unwrap_or_default();
    let authority = normalise_authority(authority, scheme);
    let target = required(headers, ":path")?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);

    let mut candidates = servers.iter().filter(|server| server.authorities.contains(&authority));
    candidates
        .clone()
        .find(|server| server.path == path)
        .map(|server| Destination::Endpoint(Rc::clone(server), Place::Endpoint))
        .or_else(|| {
            let takes_messages = |http_sse: &HttpSse| http_sse.endpoint.path == path;
            candidates
                .clone()
                .find(|server| server.http_sse.as_ref().is_some_and(takes_messages))
                .map(|server| Destination::Endpoint(Rc::clone(server), Place::Messages))
        })
        .or_else(|| {
            candidates
                .clone()
                .find(|server| server.metadata_path == path)
                .or_else(|| sole(&mut candidates).filter(|_| path == ROOT_METADATA))
                .map(|server| Destination::Metadata(Rc::clone(server)))
        })
        .ok_or_else(|| Denial::new(Code::UnknownServer, "no server has this authority and path"))
}

/// Where clients look last: at the root, which can speak for a sole server only.
const ROOT_METADATA: &str = "/.well-known/oauth-protected-resource";

fn sole<'a>(servers: &mut impl Iterator<Item = &'a Rc<Server>>) -> Option<&'a Rc<Server>> {
    let first = servers.next();
    if servers.next().is_some() { None } else { first }
}

/// Lowercase, without the scheme's default port (RFC 3986 section 6.2.3).
fn normalise_authority(authority: &str, scheme: &str) -> String {
    let authority = authority.to_ascii_lowercase();
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    match authority.strip_suffix(default_port) {
        Some(host) => host.to_owned(),
        None => authority,
    }
}

/// Checks the form of a request to an endpoint.
pub(super) fn check_form(
    headers: &Headers,
    end: bool,
    server: &Rc<Server>,
    place: Place,
    workloads: &WorkloadSources,
) -> Result<Arrival, Denial> {
    read_form(headers, end, server, place, workloads).map_err(|denial| match denial.code {
        // By its code a client of the modern era tells that the server is of it too.
        Code::HeaderRepeated | Code::HeaderMalformed if claims_modern(headers) => {
            let error = RpcError { code: HEADER_MISMATCH, ..denial.code.rpc_error() };
            denial.with_error(error)
        }
        _ => denial,
    })
}

/// The media type of messages.
const JSON: &str = "application/json";

/// JSON-RPC code of every header error of MCP 2026-07-28 ("Server Validation").
const HEADER_MISMATCH: i64 = -32020;

/// Whether any version header is that of the modern era.
fn claims_modern(headers: &Headers) -> bool {
    let mut lines = headers.lines("mcp-protocol-version").into_iter();
    lines.any(|line| line.trim_ascii() == MODERN_VERSION.as_bytes())
}

fn read_form(
    headers: &Headers,
    end: bool,
    server: &Rc<Server>,
    place: Place,
    workloads: &WorkloadSources,
) -> Result<Arrival, Denial> {
    for name in SINGLE {
        single(headers, name)?;
    }
    // Where proofs are taken, a second one has an answer of its own (RFC 9449 section 7.1).
    if server.dpop.mode == Requirement::Off {
        single(headers, "dpop")?;
    }
    refuse_underscores(headers, server)?;
    if headers.has("upgrade") || headers.has(":protocol") {
        return Err(Denial::new(Code::UpgradeRefused, "the request asks for an upgrade"));
    }
    let method = match required(headers, ":method")? {
        "POST" => HttpMethod::Post,
        _ if place == Place::Messages => {
            return Err(Denial::new(Code::PostOnly, "messages of HTTP+SSE are posted"));
        }
        "GET" => HttpMethod::Get,
        "DELETE" => HttpMethod::Delete,
        _ => return Err(Denial::new(Code::MethodNotAllowed, "an HTTP method MCP does not use")),
    };
    let is_modern = claims_modern(headers);
    let mut mcp = McpHeaders {
        protocol_version: owned(headers, "mcp-protocol-version")?,
        method: owned(headers, "mcp-method")?,
        name: owned(headers, "mcp-name")?,
        params: params(headers)?,
        session: if is_modern { None } else { session(headers)? },
        resumes: headers.has("last-event-id"),
    };
    let instance = match &server.instance_header {
        Some(name) => visible(headers, name, MAX_INSTANCE_LEN)?,
        None => None,
    };
    check_origin(headers, server)?;
    check_query(headers)?;
    match method {
        HttpMethod::Post => check_message_headers(headers, end)?,
        HttpMethod::Get | HttpMethod::Delete => {
            check_session_headers(&mcp, end)?;
            if method == HttpMethod::Get && server.http_sse.is_none() {
                check_is_no_http_sse(headers, &mcp)?;
            }
        }
    }
    let transport = match (method, place) {
        (HttpMethod::Post, Place::Messages) => {
            mcp.session = Some(session_in_url(headers, &mcp)?);
            Transport::HttpSse
        }
        // Clients that lost the stream say which revision they speak when they open another.
        (HttpMethod::Get, _) if server.http_sse.is_some() && mcp.session.is_none() => {
            Transport::HttpSse
        }
        _ => Transport::StreamableHttp,
    };
    let credentials = [&workloads.jwt_svid_header, &server.actor_token_header];
    let mut strip = to_strip(headers, is_modern, &credentials.map(Option::as_deref));
    if method == HttpMethod::Post && headers.informative("content-type") != Some(JSON) {
        // One spelling for servers that do not all know the others.
        strip.push(HeaderEdit::Set("content-type", JSON.to_owned()));
    }
    Ok(Arrival { server: Rc::clone(server), method, transport, headers: mcp, instance, strip })
}

/// CGI and WSGI servers read an underscore in a name as a hyphen (RFC 3875 section
/// 4.1.18), so this would be a second line of a header that was read without it.
fn refuse_underscores(headers: &Headers, server: &Server) -> Result<(), Denial> {
    let instance = server.instance_header.as_deref();
    let is_read = |name: &str| {
        SINGLE.iter().copied().chain(instance).any(|single| is_spelling(name, single))
            || canonical(name).take(MCP_PREFIX.len()).eq(MCP_PREFIX.bytes())
    };
    match headers.names().find(|name| name.contains('_') && is_read(name)) {
        Some(_) => Err(Denial::new(Code::HeaderMalformed, "an underscore in a header's name")),
        None => Ok(()),
    }
}

/// What the names of MCP's own headers start with.
const MCP_PREFIX: &str = "mcp-";

/// MCP 2025-11-25, "Session Management": visible ASCII.
fn session(headers: &Headers) -> Result<Option<String>, Denial> {
    visible(headers, "mcp-session-id", MAX_SESSION_LEN)
}

/// A header that names something: at most that many visible characters, no list.
fn visible(headers: &Headers, name: &str, most: usize) -> Result<Option<String>, Denial> {
    let Some(value) = owned(headers, name)? else { return Ok(None) };
    // A list joined on the way (RFC 9110 section 5.3) is two lines in one.
    if value.contains(',') {
        return Err(Denial::new(Code::HeaderRepeated, format!("{name} has a comma")));
    }
    let is_visible = value.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_visible || !(1..=most).contains(&value.len()) {
        let reason = format!("{name} is not 1 to {most} visible characters");
        return Err(Denial::new(Code::HeaderMalformed, reason));
    }
    Ok(Some(value))
}

/// The session of a message of HTTP+SSE, as its URL says it: empty where it does not. Whether
/// there is such a session is told after it is known who asks.
fn session_in_url(headers: &Headers, mcp: &McpHeaders) -> Result<String, Denial> {
    if mcp.standard().claimed_era() == Some(Era::Modern) {
        return Err(Denial::new(Code::VersionUnsupported, "2026-07-28 has no HTTP+SSE"));
    }
    if mcp.session.is_some() {
        return Err(Denial::new(Code::HeaderMalformed, "HTTP+SSE has no mcp-session-id"));
    }
    let target = required(headers, ":path")?;
    let query = target.split_once('?').map_or("", |(_, query)| query);
    Ok(MessageEndpoint::sealed(query).to_owned())
}

/// The `Mcp-Param-*` headers (SEP-2243), bounded before anybody decodes them.
fn params(headers: &Headers) -> Result<Vec<ParamLine>, Denial> {
    let mut lines = Vec::new();
    let mut size = 0_usize;
    for name in headers.names() {
        let Some(suffix) = name.strip_prefix(PARAM_PREFIX) else { continue };
        let value = owned(headers, name)?.unwrap_or_default();
        size = size.saturating_add(name.len()).saturating_add(value.len());
        lines.push(ParamLine { suffix: suffix.to_owned(), value });
        if lines.len() > MAX_PARAMS || size > MAX_PARAMS_LEN {
            return Err(Denial::new(Code::HeaderMalformed, "too many or too long Mcp-Param-*"));
        }
    }
    Ok(lines)
}

/// What a request brings to say who sends it: read, and not verified.
///
/// Has no `Debug`, so that it cannot be written by accident.
pub(super) struct Credentials {
    pub(super) scheme: Scheme,
    pub(super) token: String,
    pub(super) proof: Option<String>,
    pub(super) certificate: Option<CertificateDigest>,
    pub(super) workload: Workload,
    /// The agent's own token, for the authorization server.
    pub(super) actor_token: Option<String>,
}

/// Reads the credential (RFC 6750 section 2.1, RFC 9449 section 7.1, RFC 8705 section 3).
pub(super) fn credentials(
    headers: &Headers,
    server: &Server,
    workloads: &WorkloadSources,
    peer: &dyn Fn() -> PeerConnection,
) -> Result<Credentials, Denial> {
    let takes_proofs = server.dpop.mode != Requirement::Off;
    let Some(value) = single(headers, "authorization")? else {
        return Err(Denial::new(Code::TokenMissing, "no Authorization header")
            .with_challenge(challenge(server, None)));
    };
    let (scheme, token) = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => (Scheme::Bearer, token),
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") && takes_proofs => {
            (Scheme::Dpop, token)
        }
        // Another scheme is no attempt at ours: RFC 6750 section 3.1 wants no error code.
        _ => {
            return Err(Denial::new(Code::TokenMissing, "an Authorization scheme not taken here")
                .with_challenge(challenge(server, None)));
        }
    };
    let token = token.trim_start_matches(' ');
    if is_credential_list(token) {
        return Err(mixed("two credentials in Authorization", server));
    }
    if !is_token68(token) {
        return Err(rejected(TokenError::Malformed("not one token68"), server, || None));
    }
    let proof = match scheme {
        _ if !takes_proofs => None,
        Scheme::Bearer if headers.has("dpop") => {
            return Err(mixed("a proof beside a bearer token", server));
        }
        Scheme::Bearer => None,
        Scheme::Dpop => headers
            .single("dpop")
            .map_err(|_| ProofError::Malformed("not one header field of text"))
            .map_err(|error| rejected(error.into(), server, || None))?
            .map(str::to_owned),
    };
    // The host is asked only where something depends on it: it is for every request.
    let peer = match server.mtls.mode {
        Requirement::Off if !workloads.are_on_connection(server) => PeerConnection::default(),
        _ => peer(),
    };
    let certificate = server
        .mtls
        .presented(&peer, &headers.lines(FORWARDED_CERTIFICATE))
        .map_err(|error| rejected(error, server, || None))?;
    let workload = workloads
        .read(headers, server, peer)
        .map_err(|error| rejected(error.into(), server, || None))?;
    let actor_token = match &server.actor_token_header {
        Some(name) => visible(headers, name, MAX_TOKEN)?,
        None => None,
    };
    let token = token.to_owned();
    Ok(Credentials { scheme, token, proof, certificate, workload, actor_token })
}

impl Credentials {
    /// The tokens that no MCP server sees. Longer ones are refused, wherever they are.
    fn to_keep_out(&self) -> impl Iterator<Item = &str> {
        let tokens = [
            Some(self.token.as_str()),
            self.workload.brought().jwt_svid,
            self.actor_token.as_deref(),
        ];
        tokens
            .into_iter()
            .flatten()
            .filter(|token| (MIN_TOKEN_LEN..=MAX_TOKEN).contains(&token.len()))
    }

    /// What they are to the authenticator.
    pub(super) fn brought(&self, method: HttpMethod) -> Credential<'_> {
        Credential {
            scheme: self.scheme,
            token: &self.token,
            proof: self.proof.as_deref(),
            method: method.as_str(),
            certificate: self.certificate,
            workload: self.workload.brought(),
        }
    }
}

/// Envoy's header for the certificates of earlier hops.
const FORWARDED_CERTIFICATE: &str = "x-forwarded-client-cert";

fn mixed(reason: &str, server: &Server) -> Denial {
    Denial::new(Code::CredentialsMixed, reason)
        .with_challenge(challenge(server, Some(ChallengeError::InvalidRequest)))
}

/// Whether lines with a credential each were joined on the way (RFC 9110 section 5.3).
fn is_credential_list(token: &str) -> bool {
    token.split(',').skip(1).any(|member| {
        let scheme = member.trim_start().split(' ').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("dpop")
    })
}

/// RFC 9110 section 11.2: at least one character, padding only at the end.
fn is_token68(text: &str) -> bool {
    let stem = text.trim_end_matches('=');
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
    };
    !stem.is_empty() && stem.bytes().all(allowed)
}

fn check_message_headers(headers: &Headers, end: bool) -> Result<(), Denial> {
    let content_type = single(headers, "content-type")?.unwrap_or_default();
    if !is_json_content_type(content_type) {
        return Err(Denial::new(Code::MediaTypeUnsupported, "Content-Type is not JSON in UTF-8"));
    }
    match single(headers, "content-encoding")? {
        Some(coding) if !coding.eq_ignore_ascii_case("identity") => {
            return Err(Denial::new(Code::ContentEncodingUnsupported, "the body is encoded"));
        }
        _ => {}
    }
    if end {
        return Err(Denial::new(Code::MessageMalformed, "a POST without a body")
            .with_error(RpcError::new(-32700, "Parse error")));
    }
    Ok(())
}

fn check_session_headers(mcp: &McpHeaders, end: bool) -> Result<(), Denial> {
    if !end {
        return Err(Denial::new(Code::BodyUnexpected, "a GET or DELETE with a body"));
    }
    match (mcp.revision(), mcp.standard().claimed_era()) {
        (None, _) | (_, Some(Era::Legacy)) => Ok(()),
        (_, Some(Era::Modern)) => {
            Err(Denial::new(Code::PostOnly, "2026-07-28 has no GET and no DELETE"))
        }
        (Some(version), None) => {
            let reason = RefusalReason::unsupported(version);
            Err(refused(Refusal { reason, id: None, era: None }))
        }
    }
}

/// The transport of 2024-11-05 starts with a GET that nothing came before. Who has not
/// authenticated is asked to do that first, as everywhere. Later clients may send such a GET
/// too, to servers without sessions, and take this answer as "no stream".
fn check_is_no_http_sse(headers: &Headers, mcp: &McpHeaders) -> Result<(), Denial> {
    let is_first = mcp.session.is_none() && mcp.protocol_version.is_none();
    if is_first && headers.has("authorization") {
        return Err(Denial::new(Code::HttpSseUnsupported, "a GET without session and version"));
    }
    Ok(())
}

/// MCP "Security Warning" of the Streamable HTTP transport: a page of another origin
/// must not drive a server with its visitor's browser (GHSA-89xv-2j6f-qhc8).
fn check_origin(headers: &Headers, server: &Server) -> Result<(), Denial> {
    match single(headers, "origin")? {
        Some(origin) if !server.allowed_origins.iter().any(|allowed| allowed == origin) => {
            Err(Denial::new(Code::OriginForbidden, "Origin is not an allowed one"))
        }
        _ => Ok(()),
    }
}

/// A token in the query would be in every log on the way.
fn check_query(headers: &Headers) -> Result<(), Denial> {
    let target = required(headers, ":path")?;
    let Some((_, query)) = target.split_once('?') else { return Ok(()) };
    if percent_decode(query.as_bytes()).windows(12).any(|w| w.eq_ignore_ascii_case(b"access_token"))
    {
        return Err(Denial::new(Code::TokenInQuery, "access_token in the query"));
    }
    Ok(())
}

/// `credentials` are the configured headers that bring credentials like the others.
fn to_strip(headers: &Headers, is_modern: bool, credentials: &[Option<&str>]) -> Vec<HeaderEdit> {
    let mut names: Vec<&str> = Vec::new();
    let is_ignored = |name: &str| is_modern && LEGACY_ONLY.contains(&name);
    let is_credential =
        |name: &str| credentials.iter().flatten().any(|header| is_spelling(name, header));
    let is_out = |name: &str| is_stripped(name) || is_credential(name) || is_ignored(name);
    for name in headers.names().filter(|name| is_out(name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| HeaderEdit::Remove(name.to_owned())).collect()
}

/// Whether a request header of that name has a meaning here already, so that none can be
/// configured to be read as something else.
#[must_use]
pub fn is_known_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SINGLE.contains(&name.as_str()) || name.starts_with(MCP_PREFIX) || is_stripped(&name)
}

fn is_stripped(name: &str) -> bool {
    NEVER_FORWARDED.iter().any(|other| is_spelling(name, other)) || is_ours(name)
}

pub(super) fn is_ours(name: &str) -> bool {
    name.len() >= OUR_PREFIX.len()
        && canonical(name).zip(OUR_PREFIX.bytes()).all(|(one, other)| one == other)
}

/// Whether some server takes the one name for the other, which is lowercase.
fn is_spelling(name: &str, of: &str) -> bool {
    name.len() == of.len() && canonical(name).eq(canonical(of))
}

/// Underscores count as hyphens: CGI and WSGI servers cannot tell them apart
/// (RFC 3875 section 4.1.18).
fn canonical(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() })
}

fn single<'a>(headers: &'a Headers, name: &str) -> Result<Option<&'a str>, Denial> {
    headers.single(name).map_err(|error| match error {
        HeaderError::Repeated => Denial::new(Code::HeaderRepeated, format!("{name} occurs twice")),
        HeaderError::NotText => {
            Denial::new(Code::HeaderMalformed, format!("{name} has bytes that are not text"))
        }
    })
}

fn owned(headers: &Headers, name: &str) -> Result<Option<String>, Denial> {
    Ok(single(headers, name)?.map(str::to_owned))
}

fn required<'a>(headers: &'a Headers, name: &str) -> Result<&'a str, Denial> {
    single(headers, name)?
        .ok_or_else(|| Denial::new(Code::HeaderMalformed, format!("{name} is missing")))
}
