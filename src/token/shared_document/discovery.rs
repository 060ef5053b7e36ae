//! From an issuer's metadata to the request for its keys (OpenID Connect Discovery 1.0
//! section 4, RFC 8414 section 3).

use crate::host::Callout;
use crate::json::{self, Value};
use crate::url::Url;

/// The request for the JWK Set that the metadata names.
///
/// `jwks_uri` is where the metadata was unless `keys_cluster` is given: a request goes to
/// the cluster that was configured for it, and through one to another authority it would
/// reach a server nobody named.
pub(super) fn keys_request(
    metadata: &Callout,
    issuer: &str,
    keys_cluster: Option<&str>,
    body: &[u8],
) -> Result<Callout, String> {
    let document = json::read(body).map_err(|error| format!("metadata: {error}"))?;
    let document = document.as_object().ok_or("metadata: not an object")?;
    let text = |name| document.get(name).and_then(Value::as_str);
    // RFC 8414 section 3.3.
    if text("issuer") != Some(issuer) {
        return Err("metadata: `issuer` is not the configured one".to_owned());
    }
    let uri = text("jwks_uri").ok_or("metadata: no `jwks_uri`")?;
    let uri = Url::parse(uri).map_err(|error| format!("metadata: `jwks_uri` {error}"))?;
    if !uri.is_protected() {
        return Err("metadata: `jwks_uri` is not https".to_owned());
    }
    let mut request = Callout {
        scheme: uri.scheme.clone(),
        authority: uri.authority.to_string(),
        path: uri.request_target(),
        ..metadata.clone()
    };
    if (&request.scheme, &request.authority) != (&metadata.scheme, &metadata.authority) {
        let cluster = keys_cluster.ok_or("metadata: `jwks_uri` is of another authority")?;
        cluster.clone_into(&mut request.cluster);
        // Whatever else the metadata's server is sent is for no other.
        request.headers.retain(|(name, _)| *name == "accept");
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ISSUER: &str = "https://idp.example.com/tenant";

    fn metadata() -> Callout {
        Callout {
            cluster: "idp".to_owned(),
            method: "GET",
            scheme: "https".to_owned(),
            authority: "idp.example.com".to_owned(),
            path: "/.well-known/openid-configuration".to_owned(),
            headers: vec![
                ("accept", "application/json".to_owned()),
                ("authorization", "Basic c2VjcmV0".to_owned()),
            ],
            body: Vec::new(),
            timeout: Duration::from_secs(2),
        }
    }

    fn ask(issuer: &str, uri: &str, keys_cluster: Option<&str>) -> Result<Callout, String> {
        let body = serde_json::json!({"issuer": issuer, "jwks_uri": uri}).to_string();
        keys_request(&metadata(), ISSUER, keys_cluster, body.as_bytes())
    }

    fn parts(request: Result<Callout, String>) -> Result<(String, String, String), String> {
        request.map(|request| (request.cluster, request.authority, request.path))
    }

    fn is(cluster: &str, authority: &str, path: &str) -> Result<(String, String, String), String> {
        Ok((cluster.to_owned(), authority.to_owned(), path.to_owned()))
    }

    #[test]
    fn keys_are_asked_for_where_the_metadata_says() {
        let here = is("idp", "idp.example.com", "/keys?v=1");
        let uri = "https://idp.example.com/keys?v=1";
        assert_eq!(parts(ask(ISSUER, uri, None)), here);
        // The default port and the host's case are no difference.
        assert_eq!(parts(ask(ISSUER, "https://IDP.example.com:443/keys?v=1", None)), here);
        // A second cluster is for another authority only.
        assert_eq!(parts(ask(ISSUER, uri, Some("keys"))), here);
        assert_eq!(
            parts(ask(ISSUER, "https://keys.example.net", Some("keys"))),
            is("keys", "keys.example.net", "/")
        );
    }

    #[test]
    fn rfc8414_3_3_issuer_is_compared_byte_for_byte() {
        let uri = "https://idp.example.com/keys";
        for other in ["https://idp.example.com/tenant/", "https://IDP.example.com/tenant", ""] {
            assert!(ask(other, uri, None).is_err(), "{other}");
        }
        for body in
            [&b"{}"[..], b"[]", b"", b"\xff", br#"{"issuer":["https://idp.example.com/tenant"]}"#]
        {
            assert!(keys_request(&metadata(), ISSUER, None, body).is_err());
        }
        let twice = format!(
            r#"{{"issuer":"https://evil.example","issuer":"{ISSUER}","jwks_uri":"{uri}"}}"#
        );
        assert!(keys_request(&metadata(), ISSUER, None, twice.as_bytes()).is_err());
    }

    #[test]
    fn jwks_uri_leads_nowhere_else() {
        let bad = [
            "https://keys.example.net/keys",
            "https://idp.example.com:8443/keys",
            "https://idp.example.com@evil.example/keys",
            "https://idp.example.com.evil.example/keys",
            "/keys",
            "",
        ];
        for uri in bad {
            assert!(ask(ISSUER, uri, None).is_err(), "{uri}");
        }
        let bad_anywhere = [
            "http://idp.example.com/keys",
            "file:///etc/keys",
            "https://user@idp.example.com/keys",
            "https://idp.example.com/keys#fragment",
            "https://idp.example.com/a b",
            "https://idp.example.com/\r\nx: y",
        ];
        for uri in bad_anywhere {
            assert!(ask(ISSUER, uri, Some("keys")).is_err(), "{uri}");
        }
        // Another scheme is another server, also where its authority reads the same.
        let local = Callout { authority: "127.0.0.1".to_owned(), ..metadata() };
        let body = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"http://127.0.0.1/keys"}}"#);
        assert!(keys_request(&local, ISSUER, None, body.as_bytes()).is_err());
    }

    #[test]
    fn credentials_stay_with_the_metadata() {
        let names = |request: Result<Callout, String>| {
            request.map(|r| r.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>())
        };
        let here = names(ask(ISSUER, "https://idp.example.com/keys", None));
        assert_eq!(here, Ok(vec!["accept", "authorization"]));
        let there = names(ask(ISSUER, "https://keys.example.net/keys", Some("keys")));
        assert_eq!(there, Ok(vec!["accept"]));
    }
}
