//! Which URIs have one spelling only.
//!
//! MCP servers look resources up by the URI as it comes, by its normal form (RFC 3986
//! section 6.2), or by what the WHATWG URL Standard makes of it: the TypeScript SDK does
//! the last. A prefix says something about all of these only if they are the same.

/// Schemes whose authority the WHATWG URL Standard rewrites, with their default ports.
const SPECIAL: [(&str, &str); 6] =
    [("http", "80"), ("https", "443"), ("ws", "80"), ("wss", "443"), ("ftp", "21"), ("file", "")];

/// Whether no server takes the URI for another one. A template is one as far as its
/// expressions leave it to be.
pub(super) fn is_plain(uri: &str) -> bool {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    // White space and controls are cut off or cut out before anything is looked at.
    let is_text = |c: char| !c.is_control() && !c.is_whitespace() && c != '\\';
    uri.chars().all(is_text)
        && !scheme.contains(|c: char| c.is_ascii_uppercase())
        && has_plain_authority(scheme, rest)
        && has_plain_escapes(uri)
        && has_plain_path(rest)
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
    !host.is_empty() && host.chars().all(is_host_char) && port.is_none_or(is_port)
}

/// Whether all that is percent-encoded has to be. Decoded, `%2E` is a dot segment to
/// some, and `%73ecret` the secret one.
fn has_plain_escapes(uri: &str) -> bool {
    uri.split('%').skip(1).all(|escape| {
        let byte = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| {
            !byte.is_ascii_alphanumeric()
                && !byte.is_ascii_control()
                && !matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'\\')
        })
    })
}

fn has_plain_path(rest: &str) -> bool {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    !path.split('/').any(|segment| segment == "." || segment == "..")
}
