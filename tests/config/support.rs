//! Documents, and what is told of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use countersign::config::{Loaded, Secrets, load};
use jwt_simple::algorithms::ES256KeyPair;
use pkcs8::der::Encode as _;
use pkcs8::der::asn1::{AnyRef, OctetStringRef, UintRef};
use pkcs8::{
    AlgorithmIdentifierRef, LineEnding, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument,
};
use rsa::pkcs1::RsaPrivateKeyRef;
use serde_json::{Value, json};

/// RFC 7517 appendix A.1.
pub(crate) fn p256_key() -> Value {
    json!({
        "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
    })
}

pub(crate) fn full() -> Value {
    json!({
        "host_mode": "hold",
        "issuers": {
            "corp": {
                "issuer": "https://idp.example.com",
                "jwks": {
                    "uri": "https://IDP.example.com:443/jwks?p=1",
                    "cluster": "idp", "timeout": "2s", "refresh": "10m", "stale_for": "2h"
                },
                "algorithms": ["ES256", "RS256"],
                "token_types": ["at+jwt"],
                "clock_skew": "45s",
                "max_token_age": "15m",
                "max_token_lifetime": "1h",
                "claims": {
                    "subject": ["sub"],
                    "client": ["azp"],
                    "scopes": ["scope", "scp"],
                    "roles": ["realm_access.roles", "https://example.com/roles", ["a.b", "c"]],
                    "tenant": ["org.id"]
                },
                "introspection": {
                    "uri": "https://idp.example.com/introspect",
                    "cluster": "idp", "timeout": "1s", "tokens": "all",
                    "client": {
                        "method": "client_secret_basic", "client_id": "gateway",
                        "client_secret": { "env": "CORP_SECRET" }
                    },
                    "signed_for": "https://gateway.example.com",
                    "cache": "1m", "negative_cache": "10s"
                },
                "revocation": {
                    "uri": "https://idp.example.com/revoked", "cluster": "idp",
                    "timeout": "3s", "refresh": "10s", "stale_for": "5m"
                }
            },
            "partner": {
                "issuer": "https://login.partner.example/realms/a%20b/",
                "jwks": { "keys": [p256_key()] },
                "algorithms": ["ES256"],
                "introspection": {
                    "uri": "https://login.partner.example/introspect", "cluster": "partner",
                    "client": {
                        "method": "private_key_jwt", "client_id": "gateway",
                        "key": { "env": "PARTNER_KEY" }, "algorithm": "ES256", "key_id": "k1"
                    }
                }
            },
            "tenants": {
                "issuer": "https://login.example.com/{tid}/v2.0",
                "tenants": ["t1", "t2"],
                "jwks": {
                    "discovery": "openid", "cluster": "login", "keys_cluster": "login-keys",
                    "metadata_uri": "https://login.example.com/all/v2.0/.well-known/openid-configuration"
                },
                "algorithms": ["RS256"],
                "token_types": ["JWT", "absent"]
            },
            "vault": {
                "issuer": "https://vault.example.com",
                "introspection": {
                    "uri": "https://vault.example.com/introspect", "cluster": "vault",
                    "tokens": "opaque", "client": { "method": "injected" }
                }
            }
        },
        "servers": [
            {
                "resource": "https://mcp.example.com/mcp",
                "match": { "authority": ["mcp.internal:8443"], "path": "/v1/mcp/" },
                "audiences": ["api://docs"],
                "issuers": ["partner", "corp"],
                "dpop": {
                    "mode": "required", "algorithms": ["ES256", "EdDSA"], "proof_max_age": "1m",
                    "nonce": { "mode": "optional", "scope": "cluster", "lifetime": "2m" }
                },
                "mtls": { "mode": "optional", "forwarded_by": ["spiffe://corp/ns/gw/sa/edge"] },
                "allowed_origins": ["https://app.example.com", "http://localhost:6274"],
                "metadata": { "resource_name": "Docs", "scopes_supported": ["mcp:connect"] },
                "methods": { "allow": ["initialize", "ping", "tools/list", "tasks/get", "notifications/*"] },
                "tasks": { "binding": "proxy" },
                "tools": { "rules": [
                    { "names": ["search", "get_*"], "scopes": ["docs.read"], "dpop": "optional" },
                    {
                        "names": ["delete_record"], "scopes": ["docs.admin", "docs.read"],
                        "dpop": "required", "introspect": "fresh",
                        "param_headers": { "Region": "/region", "x-Id": "/record/a~1b" }
                    }
                ] },
                "prompts": { "rules": [{ "names": ["*"], "scopes": [] }] },
                "resources": { "rules": [{ "uris": ["docs://*"], "scopes": ["docs.read"] }] }
            },
            {
                "resource": "https://other.example.com",
                "issuers": ["corp", "tenants", "vault"],
                "metadata": { "authorization_servers": ["https://front.example.com"] },
                "methods": { "allow": ["server/discover"] }
            }
        ],
        "dpop_nonce_keys": [{ "env": "NONCE_KEY" }],
        "session_keys": [{ "env": "SESSION_KEY" }, { "env": "OLD_SESSION_KEY" }],
        "audit": { "identity_headers": false, "log": "json" }
    })
}

pub(crate) fn minimal() -> Value {
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

/// A document with everything that policies can say.
pub(crate) fn governed() -> Value {
    json!({
        "issuers": {
            "corp": {
                "issuer": "https://idp.example.com",
                "jwks": { "keys": [p256_key()] },
                "algorithms": ["ES256"],
                "claims": {
                    "agent": ["agent"], "agent_version": ["agent_version"],
                    "agent_instance": ["agent_instance"],
                    "session": ["mcp_session"], "task": ["mcp_task"], "instance": ["instance"]
                },
                "scope_grants": [
                    { "roles": ["editor"], "groups": ["writers"], "scopes": ["docs.write"] }
                ],
                "step_up": "claims"
            },
            "partner": {
                "issuer": "https://login.partner.example",
                "jwks": { "keys": [p256_key()] },
                "algorithms": ["ES256"]
            }
        },
        "workload_identity": { "trust_domains": { "corp.example": {} } },
        "agents": {
            "support-bot": {
                "match": ["client:support-bot", "act:support", "agent:support", "spiffe://corp.example/ns/bots/sa/support"],
                "issuers": ["corp"],
                "required_scopes": ["docs.read"],
                "optional_scopes": ["docs.write"],
                "servers": ["https://docs.example.com/mcp"],
                "tools": ["search", "get_*", "delete_record"],
                "prompts": [],
                "resources": ["docs://*"],
                "versions": ["2.*"],
                "instance_required": true,
                "rate": "60/m"
            },
            "indexer": { "match": ["client:indexer"], "issuers": ["corp", "partner"] }
        },
        "scopes": {
            "docs.admin": { "implies": ["docs.write"] },
            "docs.write": { "implies": ["docs.read"] },
            "docs:*": { "implies": ["docs.admin"] }
        },
        "servers": [
            {
                "resource": "https://docs.example.com/mcp",
                "issuers": ["corp"],
                "dpop": { "mode": "required" },
                "mtls": { "mode": "required" },
                "metadata": { "scopes_supported": ["docs.read"] },
                "methods": { "allow": ["initialize", "tools/list"] },
                "mode": "shadow",
                "lists": "attainable",
                "denied_objects": "forbidden",
                "delegation": {
                    "max_depth": 2, "actors": ["support-bot"], "prior_actors": ["planner"]
                },
                "context": {
                    "session": "required", "task": "required", "instance": "required",
                    "instance_header": "X-Agent-Instance"
                },
                "rates": [{ "limit": "1000/h", "burst": 50, "by": ["subject", "agent"] }],
                "tools": {
                    "rules": [
                        { "names": ["search", "get_*"], "scopes": ["docs.read"] },
                        {
                            "id": "delete",
                            "names": ["delete_record"],
                            "scopes": ["docs.write"], "any_scopes": ["docs.b", "docs.a"],
                            "roles": ["editor"], "groups": ["writers"], "tenants": ["t1"],
                            "subjects": ["alice"], "issuers": ["corp"],
                            "agents": ["indexer"], "on_behalf_of": true,
                            "workloads": [{
                                "agents": ["indexer"], "scopes": ["docs.read"],
                                "permissions": ["Docs.Delete"]
                            }],
                            "step_up": { "acr": ["phr", "mfa"], "max_age": "5m", "contexts": ["c1"] },
                            "dpop": "optional", "mtls": "optional",
                            "rates": [{ "limit": "3/m" }],
                            "mode": "enforce"
                        }
                    ],
                    "deny": [{
                        "id": "freeze", "names": ["get_secret"], "agents": ["support-bot"],
                        "subjects": ["mallory"], "tenants": ["t2"], "mode": "shadow"
                    }]
                },
                "resources": { "rules": [{ "uris": ["docs://*"], "scopes": ["docs.read"] }] }
            },
            {
                "resource": "https://wiki.example.com/mcp",
                "issuers": ["corp", "partner"],
                "methods": { "allow": ["ping"] },
                "delegation": { "unknown_agents": "allow" },
                "tools": { "rules": [{ "names": ["*"], "scopes": [] }] }
            }
        ],
        "policies": {
            "next": { "servers": { "https://wiki.example.com/mcp": {
                "mode": "shadow", "methods": { "allow": ["ping", "tools/list"] },
                "tools": { "rules": [{ "names": ["find"], "scopes": ["docs:*"] }] },
                "prompts": { "rules": [{ "names": ["p"], "scopes": [] }] },
                "resources": { "rules": [{ "uris": ["wiki://*"], "scopes": [] }] },
                "delegation": {}, "context": {}, "rates": [{ "limit": "1/s" }]
            } } },
            "old": {
                "agents": { "crawler": { "match": ["client:crawler"], "issuers": ["corp"] } },
                "scopes": { "docs:*": { "implies": ["docs.read"] } },
                "servers": { "https://docs.example.com/mcp": {
                    "delegation": {},
                    "tools": { "rules": [{ "names": ["search"], "scopes": ["docs.read"] }] }
                } }
            }
        },
        "candidate": "next",
        "rollback": { "policy": "old", "until": "2026-12-01T18:00:00Z" }
    })
}

/// The same without the policies beside the one in force.
pub(crate) fn governed_alone() -> Value {
    let document = edited(governed(), "/policies", None);
    edited(edited(document, "/candidate", None), "/rollback", None)
}

/// The values of the variables that documents here name.
pub(crate) fn secrets() -> Secrets {
    secrets_with("CORP_SECRET", "corp-secret")
}

/// The same, one of them with another value.
pub(crate) fn secrets_with(name: &str, value: &str) -> Secrets {
    let values = [
        ("CORP_SECRET", "corp-secret"),
        ("PARTNER_KEY", P256_KEY.as_str()),
        ("NONCE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("SESSION_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
        ("OLD_SESSION_KEY", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"),
        ("SAME_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"),
    ];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut values = BTreeMap::from(values);
    values.insert(name.to_owned(), value.to_owned());
    Secrets::given(values)
}

/// A private key of a client, PKCS #8 in PEM.
pub(crate) static P256_KEY: LazyLock<String> =
    LazyLock::new(|| ES256KeyPair::generate().to_pem().unwrap());

/// What has the form of an RSA key with a modulus of that many bytes, and is none.
pub(crate) fn rsa_key(modulus: usize) -> String {
    let modulus = vec![0xff; modulus];
    let number = |bytes| UintRef::new(bytes).unwrap();
    let key = RsaPrivateKeyRef {
        modulus: number(&modulus),
        public_exponent: number(&[1, 0, 1]),
        private_exponent: number(&[1]),
        prime1: number(&[1]),
        prime2: number(&[1]),
        exponent1: number(&[1]),
        exponent2: number(&[1]),
        coefficient: number(&[1]),
        other_prime_infos: None,
    };
    let key = key.to_der().unwrap();
    let oid = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    let algorithm = AlgorithmIdentifierRef { oid, parameters: Some(AnyRef::NULL) };
    let key = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&key).unwrap());
    let key = SecretDocument::encode_msg(&key).unwrap();
    key.to_pem("PRIVATE KEY", LineEnding::LF).unwrap().to_string()
}

pub(crate) fn load_value(document: &Value) -> Result<Loaded, String> {
    load_with(document, &secrets())
}

pub(crate) fn load_with(document: &Value, secrets: &Secrets) -> Result<Loaded, String> {
    load(document.to_string().as_bytes(), secrets).map_err(|error| error.to_string())
}

/// Each edit of the full document is told of so, and nothing else is.
pub(crate) fn assert_told(cases: &[(&str, Option<Value>, &[&str])]) {
    assert_told_of(&full(), cases);
}

/// Each edit of that document is told of so, and nothing else is.
pub(crate) fn assert_told_of(document: &Value, cases: &[(&str, Option<Value>, &[&str])]) {
    let mut differences = Vec::new();
    for (pointer, value, expected) in cases {
        let told = match load_value(&edited(document.clone(), pointer, value.clone())) {
            Ok(_) => "nothing".to_owned(),
            Err(told) => told,
        };
        if told.lines().ne(expected.iter().copied()) {
            differences.push(format!("{pointer} {value:?}: {told}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// The document with one member set, or taken away.
pub(crate) fn edited(mut document: Value, pointer: &str, value: Option<Value>) -> Value {
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

/// Runs the command on the document; its exit status, output and error output.
pub(crate) fn countersign(arguments: &[&str], stdin: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input closes it: not what is tested.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}
