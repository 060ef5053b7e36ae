//! `htu`: the URL a proof was made for.

use fluent_uri::Uri;

/// Longest `htu` that is read, in bytes; a longer one fits no request line either.
const MAX_HTU: usize = 2048;

/// Whether `htu` names `url`, the query and fragment of either aside (RFC 9449 section
/// 4.3, number 9): the same bytes, or the same after the normalisation of RFC 3986
/// sections 6.2.2 and 6.2.3. `url` is a configured one, with a host and without a user,
/// and what is the same has them neither more nor less.
pub(super) fn names(htu: &str, url: &str) -> bool {
    if htu.len() > MAX_HTU {
        return false;
    }
    let (htu, url) = (target(htu), target(url));
    htu == url || normalised(htu).is_some_and(|htu| normalised(url).is_some_and(|url| htu == url))
}

/// Without query and fragment.
fn target(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// In normal form; `None` for what is no URI.
fn normalised(url: &str) -> Option<String> {
    let uri = Uri::parse(url).ok()?;
    let mut normal = uri.normalize().into_string();
    // RFC 3986 section 6.2.3, for http and https; the library leaves it to us.
    if uri.path().is_empty() {
        normal.push('/');
    }
    Some(normal)
}
