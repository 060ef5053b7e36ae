//! Compiles `workload_identity`: the trust domains whose workloads are known, and what they
//! prove themselves by.

use std::collections::HashMap;

use super::compile::Notes;
use super::document::{Server, TrustDomain, WorkloadIdentity};
use super::keys;
use crate::gate::{WorkloadSources, is_known_header};
use crate::token::{self, SpiffeId};

/// Most trust domains: each may have keys in memory and a fetch of its own in every worker.
const MAX_TRUST_DOMAINS: usize = 64;

/// Longest name of a header, in bytes. Hosts take more, people do not write more.
const MAX_HEADER_NAME: usize = 64;

/// Headers of HTTP that mean something to every proxy or server on the way: those of single
/// connections (RFC 9110 section 7.6.1), and those that select or describe representations.
const OF_HTTP: [&str; 16] = [
    "accept",
    "cache-control",
    "connection",
    "date",
    "expect",
    "forwarded",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

/// Headers that Envoy and its tracers write or act on; with `-` at the end, all that begin so.
const OF_ENVOY: [&str; 16] = [
    "b3",
    "baggage",
    "grpc-trace-bin",
    "sw8",
    "traceparent",
    "tracestate",
    "uber-trace-id",
    "x-amzn-trace-id",
    "x-b3-",
    "x-client-trace-id",
    "x-cloud-trace-context",
    "x-datadog-",
    "x-envoy-",
    "x-forwarded-",
    "x-ot-span-context",
    "x-request-id",
];

const PATH: &str = "workload_identity";

/// The workloads that are known, and where a request has the evidence.
pub(super) fn compile(
    notes: &mut Notes,
    identity: Option<WorkloadIdentity>,
    servers: &[Server],
) -> (token::WorkloadIdentity, WorkloadSources) {
    let Some(identity) = identity else { return Default::default() };
    let WorkloadIdentity { trust_domains, jwt_svid_header, audiences } = identity;
    let path = format!("{PATH}.trust_domains");
    notes.count(&path, trust_domains.len(), MAX_TRUST_DOMAINS);
    let has_bundle = trust_domains.values().any(|domain| domain.bundle.is_some());
    if let Some(header) = &jwt_svid_header {
        check_header(notes, header, servers);
        if !has_bundle {
            let message = "no trust domain has a `bundle` to verify JWT-SVIDs by";
            notes.problem(format!("{PATH}.jwt_svid_header"), message);
        }
    }
    check_audiences(notes, &audiences, jwt_svid_header.is_some(), servers);
    let only_forwarded = servers.iter().all(|server| server.mtls.forwarded_by.is_some());
    let trust_domains = trust_domains.into_iter().filter_map(|(name, domain)| {
        let path = format!("{path}.{name}");
        if domain.bundle.is_some() && jwt_svid_header.is_none() {
            let message = "is of no use without `jwt_svid_header`; leave it out";
            notes.problem(format!("{path}.bundle"), message);
        } else if domain.bundle.is_none() && only_forwarded {
            let message = "has no `bundle`, and certificates count at no server: all of them have `mtls.forwarded_by`";
            notes.warn(&path, message);
        }
        trust_domain(notes, &path, name, domain)
    });
    let trust_domains: Vec<_> = trust_domains.collect();
    let sources = WorkloadSources { certificates: true, jwt_svid_header };
    (token::WorkloadIdentity { trust_domains, audiences }, sources)
}

/// A header name that is the caller's to choose: nothing on the way reads, writes or removes
/// such a header, and no server takes it for another one. `example` is one.
pub(super) fn header_name(notes: &mut Notes, path: &str, name: &str, example: &str) {
    let is_name_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let has_letter = name.bytes().any(|byte| byte.is_ascii_lowercase());
    if !has_letter || name.len() > MAX_HEADER_NAME || !name.bytes().all(is_name_byte) {
        let message =
            format!("a header's name is 1 to {MAX_HEADER_NAME} lowercase letters, digits and `-`");
        notes.problem(path, message);
    } else if OF_HTTP.contains(&name)
        || OF_ENVOY.iter().any(|of| name == *of || of.ends_with('-') && name.starts_with(of))
        || is_known_header(name)
    {
        let message = format!("has a meaning of its own; use another one, such as `{example}`");
        notes.problem(path, message);
    }
}

fn check_header(notes: &mut Notes, header: &str, servers: &[Server]) {
    let path = format!("{PATH}.jwt_svid_header");
    header_name(notes, &path, header, "x-jwt-svid");
    for (index, server) in servers.iter().enumerate() {
        if server.context.instance_header.as_deref() == Some(header) {
            let message = format!("is also the `context.instance_header` of servers[{index}]");
            notes.problem(path.clone(), message);
        }
    }
}

/// An audience here is one at all servers, so it must not be one of theirs.
fn check_audiences(notes: &mut Notes, audiences: &[String], is_used: bool, servers: &[Server]) {
    let path = format!("{PATH}.audiences");
    if !audiences.is_empty() && !is_used {
        notes.problem(&path, "is of no use without `jwt_svid_header`; leave it out");
    }
    notes.optional_list(&path, audiences);
    notes.unique(&path, audiences);
    let servers = servers.iter().enumerate();
    let resources: HashMap<&str, usize> =
        servers.map(|(index, server)| (server.resource.as_str(), index)).collect();
    for (index, audience) in audiences.iter().enumerate() {
        let path = format!("{path}[{index}]");
        notes.text(&path, audience);
        if let Some(server) = resources.get(audience.as_str()) {
            let message = format!(
                "is the `resource` of servers[{server}]: a JWT-SVID for it would be good at every server"
            );
            notes.problem(path, message);
        }
    }
}

fn trust_domain(
    notes: &mut Notes,
    path: &str,
    name: String,
    domain: TrustDomain,
) -> Option<token::TrustDomain> {
    if !SpiffeId::is_trust_domain(&name) {
        let message = match name.strip_prefix("spiffe://") {
            Some(rest) => format!("is a trust domain without `spiffe://`; write `{rest}`"),
            None => "is no trust domain such as `corp.example`: lowercase letters, digits, `.`, `-` and `_`".to_owned(),
        };
        notes.problem(path, message);
    }
    let bundle = match domain.bundle {
        Some(bundle) => Some(keys::bundle(notes, &format!("{path}.bundle"), bundle)?),
        None => None,
    };
    Some(token::TrustDomain { name, bundle })
}
