//! The URLs of the configuration and of issuers' metadata, taken apart strictly.
//!
//! Only what Countersign needs of RFC 3986: a scheme, a host, a port, a path and a
//! query. Whatever two programs could read in two ways is refused.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest URL that is read; longer ones do not fit the headers that carry them.
const MAX_LENGTH: usize = 2048;

/// `scheme://authority[path][?query]`. Displays itself in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// In lowercase.
    pub(super) scheme: String,
    /// Host and, if not the scheme's default, port.
    pub(super) authority: Authority,
    /// Empty, or starts with `/`.
    pub(super) path: String,
    /// Without its `?`.
    pub(super) query: Option<String>,
}

/// `host[:port]`, the host in lowercase, the scheme's default port left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    host: String,
    port: Option<u16>,
}

/// Why a text is no URL that we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    #[error("is not an absolute URL such as `https://mcp.example.com/mcp`")]
    NotAbsolute,
    #[error("is longer than {MAX_LENGTH} bytes")]
    TooLong,
    #[error("has a fragment (`#`), which is never sent")]
    Fragment,
    #[error("has user information (`@`); whose host it is would be a matter of reading")]
    UserInfo,
    #[error("has no host name or IP address (names outside ASCII are written in Punycode)")]
    Host,
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
    #[error("has a character that must be percent-encoded in a URL")]
    Character,
}

impl Url {
    /// Takes a URL apart.
    pub(super) fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_LENGTH {
            return Err(UrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NotAbsolute)?;
        let scheme = scheme.to_ascii_lowercase();
        if !is_scheme(&scheme) {
            return Err(UrlError::NotAbsolute);
        }
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{path}")),
            None => (rest, String::new()),
        };
        if !path.bytes().chain(query.iter().flat_map(|query| query.bytes())).all(is_path_byte) {
            return Err(UrlError::Character);
        }
        Ok(Url { authority: Authority::parse(authority, &scheme)?, scheme, path, query })
    }

    /// Scheme and authority: the origin (RFC 6454 section 6.2).
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Path and query as a request target (RFC 9112 section 3.2.1).
    pub(super) fn request_target(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        match &self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// Whether nobody between can read or change what is sent: https, or http that does
    /// not leave the machine.
    pub(super) fn is_protected(&self) -> bool {
        self.scheme == "https" || (self.scheme == "http" && self.authority.is_loopback())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

impl Authority {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
    pub(super) fn parse(text: &str, scheme: &str) -> Result<Self, UrlError> {
        if text.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (address, rest) = bracketed.split_once(']').ok_or(UrlError::Host)?;
                let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
                let port = match rest {
                    "" => None,
                    _ => Some(rest.strip_prefix(':').ok_or(UrlError::Port)?),
                };
                (format!("[{address}]"), port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
                None => (text.to_ascii_lowercase(), None),
            },
        };
        if !host.starts_with('[') && !is_host_name(&host) {
            return Err(UrlError::Host);
        }
        let port = port.map(parse_port).transpose()?;
        let is_default = matches!((scheme, port), ("https", Some(443)) | ("http", Some(80)));
        Ok(Authority { host, port: if is_default { None } else { port } })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host == "[::1]"
            || self.host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Whether a text is an absolute URI (RFC 3986 section 4.3), of any scheme: it has no fragment.
pub(super) fn is_absolute_uri(text: &str) -> bool {
    let is_uri_byte = |byte| is_path_byte(byte) || b"[]".contains(&byte);
    text.split_once(':').is_some_and(|(scheme, rest)| {
        is_scheme(&scheme.to_ascii_lowercase()) && !rest.is_empty() && rest.bytes().all(is_uri_byte)
    })
}

/// Why a path cannot be one that is compared byte for byte: another program on the way
/// could take a second text for the same path.
pub(super) fn ambiguity(path: &str) -> Option<&'static str> {
    if !path.bytes().all(is_path_byte) || path.contains(['?', '*', '%']) {
        Some("is compared byte for byte: no query, no `*`, no percent-encoding")
    } else if path.split('/').any(|segment| segment == "." || segment == "..") {
        Some("has a segment `.` or `..`, which clients and proxies resolve")
    } else if path.contains("//") {
        Some("has an empty segment (`//`), which proxies merge")
    } else {
        None
    }
}

/// RFC 3986 section 3.1, in lowercase.
fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// Labels of letters, digits, `-` and `_`, which is what DNS and clusters use.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    host.split('.').all(is_label)
}

fn parse_port(text: &str) -> Result<u16, UrlError> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain).ok_or(UrlError::Port)
}

/// The characters of a path or query (RFC 3986 sections 3.3 and 3.4).
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte)
}
