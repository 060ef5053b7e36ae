//! What a fetch was answered: the document's bytes, and how long they are good for.

use std::time::Duration;

use crate::host::CalloutAnswer;

/// Longest document that is read, in bytes: 64 keys of RSA-4096 with certificates fit, or
/// 5000 revoked token ids.
const MAX_DOCUMENT: usize = 256 * 1024;

/// The document in a good answer. An error page with status 200 is none.
pub(super) fn body<'a>(
    answer: &'a CalloutAnswer,
    media_types: &[&str],
) -> Result<&'a [u8], String> {
    match answer.status {
        Some(200) => {}
        Some(status) => return Err(format!("status {status}")),
        None => return Err("the request failed".to_owned()),
    }
    let mut types = lines(answer, "content-type");
    if !types.all(|line| media_types.iter().any(|media_type| is_of(line, media_type))) {
        return Err(format!("not of type {}", media_types.join(" or ")));
    }
    let body = answer.body.as_deref().filter(|body| body.len() <= MAX_DOCUMENT);
    body.ok_or_else(|| format!("no body, or more than {MAX_DOCUMENT} bytes"))
}

/// How long the answer asks to be taken for fresh (RFC 9111 section 4.2), in its
/// `Cache-Control`; `None` when it does not say. `Expires` is not read: it is a time of
/// the server's clock.
pub(super) fn fresh_for(answer: &CalloutAnswer) -> Option<Duration> {
    let asked = lines(answer, "cache-control")
        .flat_map(|line| line.split(|byte| *byte == b','))
        .filter_map(directive)
        .min()?;
    // RFC 9111 section 5.1. One that makes no sense is ignored.
    let age = answer.header("age").and_then(|age| age.parse().ok()).unwrap_or(0);
    Some(asked.saturating_sub(Duration::from_secs(age)))
}

/// What a directive allows; `None` when it says nothing of the kind.
fn directive(text: &[u8]) -> Option<Duration> {
    let text = text.trim_ascii().to_ascii_lowercase();
    if text == b"no-store" || text == b"no-cache" {
        return Some(Duration::ZERO);
    }
    let seconds = text.strip_prefix(b"max-age=")?;
    // RFC 9111 section 4.2.1: one that cannot be read makes the answer stale.
    let seconds = std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok());
    Some(Duration::from_secs(seconds.unwrap_or(0)))
}

/// Whether a `Content-Type` is of that media type, whatever its parameters.
fn is_of(line: &[u8], media_type: &str) -> bool {
    let essence = line.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(media_type.as_bytes())
}

fn lines<'a>(answer: &'a CalloutAnswer, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    answer.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&str, &str)]) -> CalloutAnswer {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()));
        CalloutAnswer { status: Some(200), headers: headers.collect(), body: Some(b"{}".to_vec()) }
    }

    #[test]
    fn rfc9111_5_2_2_cache_control() {
        let cases: [(&[&str], Option<u64>); 11] = [
            (&[], None),
            (&["public"], None),
            (&["public, max-age=3600, must-revalidate"], Some(3600)),
            (&["public", "Max-Age=60"], Some(60)),
            (&["max-age=600, max-age=60"], Some(60)),
            (&["max-age=600", "no-cache"], Some(0)),
            (&["no-store"], Some(0)),
            (&["max-age=-1"], Some(0)),
            (&["max-age=99999999999999999999"], Some(0)),
            (&["s-maxage=5"], None),
            (&["x-max-age=5"], None),
        ];
        for (lines, expected) in cases {
            let lines: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
            assert_eq!(fresh_for(&answer(&lines)), expected.map(Duration::from_secs), "{lines:?}");
        }
    }

    #[test]
    fn rfc9111_5_1_age_is_taken_off() {
        for (age, left) in [("40", 20), ("60", 0), ("9999", 0), ("-5", 60), ("soon", 60)] {
            let answer = answer(&[("cache-control", "max-age=60"), ("age", age)]);
            assert_eq!(fresh_for(&answer), Some(Duration::from_secs(left)), "{age}");
        }
    }

    #[test]
    fn only_documents_of_the_type_are_read() {
        let types = ["application/json", "application/jwk-set+json"];
        let good =
            ["application/json", "Application/JSON; charset=utf-8", "application/jwk-set+json"];
        for good in good {
            assert!(body(&answer(&[("content-type", good)]), &types).is_ok(), "{good}");
        }
        assert!(body(&answer(&[]), &types).is_ok());
        for bad in ["text/html", "text/plain", "application/jsonp", "", "application/octet-stream"]
        {
            assert!(body(&answer(&[("content-type", bad)]), &types).is_err(), "{bad}");
        }
        let two = [("content-type", "application/json"), ("content-type", "text/html")];
        assert!(body(&answer(&two), &types).is_err());
    }
}
