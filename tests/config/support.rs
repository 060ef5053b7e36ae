//! Documents, and what is told of them.

/// RFC 7517 appendix A.1.
fn p256_key() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
    })
}

fn full() -> Value {
    json!({
        "host_mode": "hold",
        "issuers": {
            "corp": {
                "issuer": "https://idp.example.com",
                "jwks": {
                    "uri": "https://IDP.example.com:443/jwks?p=1",
                    "cluster": "idp", "timeout": "2s", "refresh": "10m"
                },
                "algorithms": ["ES256", "RS256"],
                "token_types": ["at+jwt"],
                "clock_skew": "45s"
            },
            "partner": {
                "issuer": "https://login.partner.example/realms/a%20b/",
                "jwks": { "keys": [p256_key()] },
                "algorithms": ["ES256"]
            }
        },
        "servers": [
            {
                "resource": "https://mcp.example.com/mcp",
                "match": { "authority": ["mcp.internal:8443"], "path": "/v1/mcp/" },
                "issuers": ["partner", "corp"],
                "allowed_origins": ["https://app.example.com", "http://localhost:6274"],
                "metadata": { "resource_name": "Docs", "scopes_supported": ["mcp:connect"] },
                "methods": { "allow": ["initialize", "ping", "tools/list", "notifications/*"] },
                "tools": { "rules": [
                    { "names": ["search", "get_*"], "scopes": ["docs.read"] },
                    { "names": ["delete_record"], "scopes": ["docs.admin", "docs.read"] }
                ] },
                "prompts": { "rules": [{ "names": ["*"], "scopes": [] }] },
                "resources": { "rules": [{ "uris": ["docs://*"], "scopes": ["docs.read"] }] }
            },
            {
                "resource": "https://other.example.com",
                "issuers": ["corp"],
                "metadata": { "authorization_servers": ["https://front.example.com"] },
                "methods": { "allow": ["server/discover"] }
            }
        ],
        "audit": { "identity_headers": false, "log": "json" }
    })
}

fn minimal() -> Value {
    json!({
        "issuers": { "corp": {
            "issuer": "http://127.0.0.1:9000",
            "jwks": { "uri": "http://127.0.0.1:9000/jwks", "cluster": "idp" },
            "algorithms": ["ES256"]
        } },
        "servers": [{
            "resource": "http://127.0.0.1:10000/mcp",
            "issuers": ["corp"],
            "methods": { "allow": ["ping"] }
        }]
    })
}

fn load_value(document: &Value) -> Result<Loaded, String> {
    load(document.to_string().as_bytes()).map_err(|error| error.to_string())
}

/// The document with one member set, or taken away.
fn edited(mut document: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    match (document.pointer_mut(parent).unwrap(), value) {
        (Value::Object(object), Some(value)) => drop(object.insert(member.to_owned(), value)),
        (Value::Object(object), None) => drop(object.remove(member).unwrap()),
        (Value::Array(array), Some(value)) if member == "-" => array.push(value),
        (Value::Array(array), Some(value)) => array[member.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    document
}
