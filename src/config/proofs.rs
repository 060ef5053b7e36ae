//! Compiles `dpop`, `mtls` and `dpop_nonce_keys`: proof of possession.

use std::time::Duration;

use super::compile::{Bounds, Notes};
use super::document::{Dpop, FromEnvironment, Mtls};
use super::secrets::Secrets;
use super::symmetric_keys;
use super::url::Url;
use crate::token::{
    CertificateSource, DpopPolicy, MtlsPolicy, NonceKey, NoncePolicy, NonceScope, Requirement,
};

/// RFC 9449 section 11.1 speaks of "seconds or minutes". Below, clocks that are well kept
/// differ by more; above, the record of used proofs would hold them for too long.
const PROOF_AGE: Bounds =
    Bounds { least: Duration::from_secs(5), most: Duration::from_secs(10 * 60) };

/// Shorter, and clients ask for nonces all the time; longer, and a nonce says no more about
/// when a proof was made than its `iat` does.
const NONCE_LIFETIME: Bounds =
    Bounds { least: Duration::from_secs(10), most: Duration::from_secs(60 * 60) };

/// What a server with this resource identifier demands of DPoP. `relaxed` where a rule takes
/// tokens that are not bound: then authentication does too, and the rules say which are not.
pub(super) fn dpop(
    notes: &mut Notes,
    path: &str,
    dpop: Dpop,
    relaxed: bool,
    resource: &str,
) -> DpopPolicy {
    notes.list(&format!("{path}.algorithms"), &dpop.algorithms);
    notes.unique(&format!("{path}.algorithms"), &dpop.algorithms);
    let proof_max_age = notes.span(&format!("{path}.proof_max_age"), dpop.proof_max_age, PROOF_AGE);
    let nonce = dpop.nonce;
    let lifetime = notes.span(&format!("{path}.nonce.lifetime"), nonce.lifetime, NONCE_LIFETIME);
    if dpop.mode == Requirement::Off && nonce.mode != Requirement::Off {
        let message = "there are no proofs to have nonces: `mode` of `dpop` is `off`";
        notes.problem(format!("{path}.nonce.mode"), message);
    }
    DpopPolicy {
        mode: relax(dpop.mode, relaxed),
        algorithms: dpop.algorithms,
        proof_max_age,
        url: resource.to_owned(),
        nonce: NoncePolicy { mode: nonce.mode, scope: nonce.scope, lifetime },
    }
}

/// What a server demands of tokens bound to certificates. `relaxed` as for [`dpop`].
pub(super) fn mtls(notes: &mut Notes, path: &str, mtls: Mtls, relaxed: bool) -> MtlsPolicy {
    let certificate = match mtls.forwarded_by {
        None => CertificateSource::Connection,
        Some(trusted_hops) => {
            let list = format!("{path}.forwarded_by");
            notes.list(&list, &trusted_hops);
            notes.unique(&list, &trusted_hops);
            for (index, hop) in trusted_hops.iter().enumerate() {
                let path = format!("{list}[{index}]");
                if Url::parse(hop).is_err() {
                    let example = "spiffe://example.org/ns/gateway/sa/edge";
                    notes.problem(path, format!("is no URI such as `{example}`"));
                } else if hop.contains('*') {
                    notes.problem(path, "is compared byte for byte: no `*`");
                }
            }
            CertificateSource::Forwarded { trusted_hops }
        }
    };
    MtlsPolicy { mode: relax(mtls.mode, relaxed), certificate }
}

fn relax(mode: Requirement, relaxed: bool) -> Requirement {
    if relaxed && mode == Requirement::Required { Requirement::Optional } else { mode }
}

/// The keys of nonces, and whether they are there if and only if a server needs them.
pub(super) fn nonce_keys(
    notes: &mut Notes,
    keys: &[FromEnvironment],
    policies: &[&DpopPolicy],
    secrets: &Secrets,
) -> Vec<NonceKey> {
    const PATH: &str = "dpop_nonce_keys";
    let needs_keys = |policy: &&DpopPolicy| {
        policy.nonce.mode != Requirement::Off && policy.nonce.scope == NonceScope::Cluster
    };
    let needed = policies.iter().any(needs_keys);
    if needed && keys.is_empty() {
        notes.problem(PATH, "a server has nonces of `scope: cluster`, which need keys");
    } else if !needed && !keys.is_empty() {
        notes.warn(PATH, "no server has nonces of `scope: cluster`");
    }
    symmetric_keys::read(notes, PATH, keys, secrets, NonceKey::MIN_BYTES, NonceKey::new)
}
