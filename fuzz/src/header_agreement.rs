//! The standard headers: in what is accepted they say what the body says.
//!
//! The input is a request: lines of `name: value`, an empty line, the body. Arguments of
//! five names are mirrored in `Mcp-Param-*` headers.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::mcp::{
    Era, MAX_VALUE_LEN, MODERN_VERSION, Message, PARAM_PREFIX, ParamHeader, ParamLine,
    StandardHeaders, decode_value, read_message, read_message_and_params,
};

use super::message_reader::{agrees, is_mirrored};
use super::model::document::{Node, scan};
use super::model::peer::{Peer, Seen};

/// Which argument an `Mcp-Param-*` header mirrors, as a JSON Pointer.
const PARAMS: [(&str, &str); 5] = [
    ("region", "/region"),
    ("count", "/count"),
    ("strict", "/strict"),
    ("city", "/to/city"),
    ("street", "/to/place/at/street"),
];

/// Checks one request.
pub fn check(data: &[u8]) -> bool {
    let (head, body) = split(data);
    let head = String::from_utf8_lossy(head);
    let fields: Vec<(String, &str)> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let value = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
    let params: Vec<ParamLine> = PARAMS
        .iter()
        .filter_map(|(suffix, _)| {
            let value = value(&format!("{PARAM_PREFIX}{suffix}"))?.to_owned();
            Some(ParamLine { suffix: (*suffix).to_owned(), value })
        })
        .collect();
    let headers = StandardHeaders {
        protocol_version: value("mcp-protocol-version"),
        method: value("mcp-method"),
        name: value("mcp-name"),
        params: &params,
        session: value("mcp-session-id").is_some(),
    };
    for (_, value) in &fields {
        decodes(value);
    }
    let known: Vec<ParamHeader> = PARAMS
        .iter()
        .map(|(suffix, pointer)| ParamHeader::new(suffix, pointer).expect("they are well-formed"))
        .collect();
    let read = read_message_and_params(body, &headers, &|_| &known);
    let alone = read_message(body, &headers);
    assert_eq!(read.clone().map(|(message, _)| message), alone, "params change nothing else");
    let Ok((message, params_agree)) = read else { return false };
    let node = std::str::from_utf8(body).ok().and_then(|text| scan(text).value);
    let node = node.expect("what is accepted is JSON");
    agrees(&message, &node);
    let seen = Peer::LastWins.read(&node);
    claims_are_true(&message, &headers, &seen);
    other_claims_are_refused(&message, body, &headers, &seen);
    params_agree_if_true(params_agree.is_ok(), &message, &params, &node);
    true
}

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, rest) = data.split_at(end);
    (head, rest.get(2..).unwrap_or_default())
}

/// Whether modern requests for this method have to carry `Mcp-Name` (2026-07-28, "Request
/// Metadata"; SEP-2663).
fn needs_name(method: Option<&str>) -> bool {
    matches!(
        method,
        Some(
            "tools/call"
                | "prompts/get"
                | "resources/read"
                | "tasks/get"
                | "tasks/update"
                | "tasks/cancel"
        )
    )
}

/// Asserts that each header that is there says what a server reads in the body, and that
/// those which a modern request needs are there.
fn claims_are_true(message: &Message, headers: &StandardHeaders<'_>, seen: &Seen) {
    let named = seen.objects.first().map(|(_, name)| name.clone());
    let named = named.filter(|_| is_mirrored(seen.method.as_deref()));
    if let Some(method) = headers.method {
        assert_eq!(Some(trim(method)), seen.method.as_deref(), "Mcp-Method");
    }
    if let Some(name) = headers.name {
        assert!(named.is_some() && decode(name) == named, "Mcp-Name");
    }
    let claimed = headers.protocol_version.map(trim);
    if seen.version.is_some() || claimed == Some(MODERN_VERSION) {
        assert_eq!(claimed, seen.version.as_deref(), "MCP-Protocol-Version");
    }
    let Message::Request { era: Era::Modern, operation, .. } = message else {
        return;
    };
    assert!(headers.method.is_some(), "Mcp-Method");
    assert!(headers.name.is_some() || !needs_name(seen.method.as_deref()), "Mcp-Name");
    let claim = headers.claimed_operation();
    assert!(claim.as_ref().is_none_or(|claim| claim == operation), "decided on {claim:?}");
    if needs_name(seen.method.as_deref()) {
        assert!(claim.is_some(), "headers that say it all claim nothing");
    }
}

/// The same body under other claims: each of them alone is one too many.
fn other_claims_are_refused(
    message: &Message,
    body: &[u8],
    headers: &StandardHeaders<'_>,
    seen: &Seen,
) {
    let refused = |headers: StandardHeaders<'_>, what: &str| {
        assert!(read_message(body, &headers).is_err(), "{what}");
    };
    let other = |claim: Option<&str>| format!("{}x", claim.unwrap_or_default());
    let method = other(seen.method.as_deref());
    refused(StandardHeaders { method: Some(&method), ..*headers }, "another Mcp-Method");
    let name = other(seen.objects.first().map(|(_, name)| name.as_str()));
    refused(StandardHeaders { name: Some(&name), ..*headers }, "another Mcp-Name");
    let version = other(headers.protocol_version);
    let versioned = StandardHeaders { protocol_version: Some(&version), ..*headers };
    refused(versioned, "another MCP-Protocol-Version");
    if let Message::Request { era: Era::Modern, .. } = message {
        refused(StandardHeaders { method: None, ..*headers }, "no Mcp-Method");
        refused(StandardHeaders { protocol_version: None, ..*headers }, "no MCP-Protocol-Version");
        if needs_name(seen.method.as_deref()) {
            refused(StandardHeaders { name: None, ..*headers }, "no Mcp-Name");
        }
    }
}

/// Whether the headers say what a peer finds at the arguments that they mirror.
fn are_true(peer: Peer, legacy: bool, lines: &[ParamLine], arguments: Option<&Node>) -> bool {
    PARAMS.iter().all(|(suffix, pointer)| {
        let names = pointer.trim_start_matches('/').split('/');
        let argument = names.fold(arguments, |within, name| peer.get(within?, name));
        let argument = argument.filter(|argument| **argument != Node::Null);
        match (lines.iter().find(|line| line.suffix == *suffix), argument) {
            (None, None) => true,
            (None, Some(_)) => legacy,
            (Some(_), None) => false,
            (Some(line), Some(argument)) => {
                decode(&line.value).is_some_and(|said| is_said(&said, argument))
            }
        }
    })
}

/// Asserts that headers agree where no peer finds another argument than they say, and only
/// there.
fn params_agree_if_true(agree: bool, message: &Message, lines: &[ParamLine], node: &Node) {
    let modern = matches!(
        message,
        Message::Request { era: Era::Modern, .. } | Message::Notification { era: Era::Modern, .. }
    );
    let peers = [Peer::LastWins, Peer::FirstWins, Peer::AnyCase, Peer::EndsAtNul];
    let params = |peer: Peer| peer.get(node, "params");
    let arguments = |peer: Peer| peer.get(params(peer)?, "arguments");
    let untrue = peers.into_iter().find(|peer| !are_true(*peer, !modern, lines, arguments(*peer)));
    assert!(!agree || untrue.is_none(), "{untrue:?} finds another argument");
    // Of numbers and of names that resemble each other not all are accepted.
    if let (false, None, Some(arguments)) = (agree, untrue, arguments(Peer::LastWins)) {
        assert!(!is_plain(arguments), "what everybody finds is refused");
    }
}

/// Whether nothing in an argument can be read in several ways.
fn is_plain(argument: &Node) -> bool {
    match argument {
        Node::Null | Node::Bool(_) | Node::String(_) => true,
        Node::Number(_) => false,
        Node::Array(elements) => elements.iter().all(is_plain),
        Node::Object(members) => members.iter().all(|(name, value)| {
            name.bytes().all(|byte| byte.is_ascii_lowercase()) && is_plain(value)
        }),
    }
}

fn is_said(said: &str, argument: &Node) -> bool {
    match argument {
        Node::String(text) => text == said,
        Node::Bool(truth) => truth.to_string() == said,
        Node::Number(text) => {
            matches!((text.parse::<f64>(), said.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
        }
        _ => false,
    }
}

/// Asserts that a name is decoded as the model decodes it, and that whatever can be
/// encoded comes back.
fn decodes(value: &str) {
    assert_eq!(decode_value(value).map(Cow::into_owned), decode(value), "{value:?}");
    let encoded = format!(" =?base64?{}?=\t", STANDARD.encode(value));
    let fits = trim(&encoded).len() <= MAX_VALUE_LEN;
    assert_eq!(decode_value(&encoded).as_deref(), fits.then_some(value), "{encoded:?}");
}

/// A second decoder of names: RFC 4648 section 4, whose last characters may only be those
/// that an encoder writes.
fn decode(value: &str) -> Option<String> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = trim(value);
    if value.len() > MAX_VALUE_LEN {
        return None;
    }
    let inner = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    let Some(encoded) = inner else { return Some(value.to_owned()) };
    let digits = encoded.strip_suffix("==").or(encoded.strip_suffix('=')).unwrap_or(encoded);
    let mut bits = String::new();
    for digit in digits.chars() {
        bits.push_str(&format!("{:06b}", ALPHABET.find(digit)?));
    }
    let (whole, rest) = bits.split_at(bits.len() - bits.len() % 8);
    let canonical = encoded.len() % 4 == 0 && !rest.contains('1') && rest.len() < 6;
    let bytes = whole.as_bytes().chunks(8).map(|byte| {
        let byte = std::str::from_utf8(byte).ok()?;
        u8::from_str_radix(byte, 2).ok()
    });
    canonical.then(|| String::from_utf8(bytes.collect::<Option<_>>()?).ok())?
}

fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}
