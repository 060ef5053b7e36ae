//! Which URIs have one spelling only.
//!
//! MCP servers look resources up by the URI as it comes, by its normal form (RFC 3986
//! section 6.2), or by what the WHATWG URL Standard makes of it: the TypeScript SDK does
//! the last. A prefix says something about all of these only if they are the same.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Schemes whose authority the WHATWG URL Standard rewrites, with their default ports.
const SPECIAL: [(&str, &str); 6] =
    [("http", "80"), ("https", "443"), ("ws", "80"), ("wss", "443"), ("ftp", "21"), ("file", "")];

/// Whether no server takes the URI for another one. A template is one as far as its
/// expressions leave it to be.
pub(super) fn is_plain(uri: &str) -> bool {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    // White space and controls are cut off or cut out before anything is looked at, and what
    // RFC 3986 has no place for is escaped by some and left as it is by others.
    uri.bytes().all(is_uri_byte)
        && !scheme.contains(|c: char| c.is_ascii_uppercase())
        && has_plain_authority(scheme, rest)
        && has_plain_escapes(uri)
        && has_plain_path(rest)
}

/// RFC 3986 section 2, with the braces of templates (RFC 6570).
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%{}".contains(&byte)
}

/// Other schemes' authority is taken as it is.
fn has_plain_authority(scheme: &str, rest: &str) -> bool {
    let Some((_, default_port)) = SPECIAL.iter().find(|(special, _)| *special == scheme) else {
        return true;
    };
    let Some(authority) =
        rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next())
    else {
        return false;
    };
    if scheme == "file" {
        return authority.is_empty();
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_host_char = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | ':' | '[' | ']')
    };
    let is_port = |port: &str| {
        matches!(port.as_bytes(), [b'1'..=b'9', ..])
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port != *default_port
    };
    !host.is_empty()
        && host.chars().all(is_host_char)
        && is_plain_address(host)
        && port.is_none_or(is_port)
}

/// Whether a host that is an IP address to the WHATWG URL Standard is written as it would be.
fn is_plain_address(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address);
    }
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    !is_number || host.parse::<Ipv4Addr>().is_ok_and(|parsed| parsed.to_string() == host)
}

/// Whether all that is percent-encoded has to be. Decoded, `%2E` is a dot segment to
/// some, and `%73ecret` the secret one.
fn has_plain_escapes(uri: &str) -> bool {
    uri.split('%').skip(1).all(|escape| {
        let digits = escape.get(..2).filter(|digits| !digits.contains(|c: char| c.is_lowercase()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| {
            !byte.is_ascii_alphanumeric()
                && !byte.is_ascii_control()
                && !matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'\\')
        })
    })
}

/// No dot segments, and no empty ones but the last, which file systems leave out.
fn has_plain_path(rest: &str) -> bool {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = match path.strip_prefix("//") {
        Some(path) => path.split_once('/').map_or("", |(_, path)| path),
        None => path.strip_prefix('/').unwrap_or(path),
    };
    let mut segments = path.split('/');
    let last = segments.next_back().unwrap_or_default();
    let is_dots = |segment: &str| segment == "." || segment == "..";
    !is_dots(last) && !segments.any(|segment| segment.is_empty() || is_dots(segment))
}
