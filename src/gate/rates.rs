//! Counts an allowed operation, and denies it where it comes too often.

use std::rc::Rc;

use super::account::object;
use super::denials::rate_denial;
use super::standing::Standing;
use crate::host::Host;
use crate::mcp::{Id, Operation};
use crate::policy::{Decision, Mode, RateKey, RateLimit};
use crate::rate::{self, Bucket, Verdict};
use crate::reply::Denial;

/// A rate that an operation exceeds, or that could not be counted.
pub(super) struct Exceeded {
    pub(super) denial: Denial,
    /// The id of the limit, where one was met.
    pub(super) limit: Option<String>,
}

/// Takes the operation from every bucket that its decision names.
pub(super) fn exceeded(
    decision: &Decision,
    standing: &Standing,
    server: &str,
    operation: &Operation,
    id: Option<&Id>,
    host: &dyn Host,
) -> Option<Exceeded> {
    // What is denied in shadow would not be counted, were it denied; but it runs, and rates
    // that are enforced are about what runs.
    let is_counted = |limit: &&Rc<RateLimit>| {
        let mode = || standing.policy.rate_mode(&operation.target, Some(&limit.id));
        decision.is_allow() || mode() == Mode::Enforce
    };
    let limits: Vec<_> = decision.obligations.rates.iter().filter(is_counted).collect();
    if limits.is_empty() {
        return None;
    }
    let caller = Counted { decision, standing, server, operation };
    let buckets: Vec<_> = limits.into_iter().map(|limit| caller.bucket(limit)).collect();
    let verdict = rate::take(&buckets, host);
    let limit = match &verdict {
        Ok(Verdict::Limited { limit, .. }) => Some(limit.clone()),
        _ => None,
    };
    rate_denial(verdict, id).map(|denial| Exceeded { denial, limit })
}

/// What an operation is counted by.
struct Counted<'r> {
    decision: &'r Decision,
    standing: &'r Standing,
    server: &'r str,
    operation: &'r Operation,
}

impl Counted<'_> {
    fn bucket<'l>(&self, limit: &'l Rc<RateLimit>) -> Bucket<'l> {
        let token = &self.standing.token;
        let values: Vec<&str> = limit
            .by
            .iter()
            .flat_map(|key| match key {
                RateKey::Subject => [token.issuer_url.as_str(), token.subject.as_str()],
                RateKey::Agent => match &self.decision.agent {
                    Some(agent) => ["", agent],
                    // Nobody in the catalogue has a name of this form.
                    None => [token.issuer_url.as_str(), token.client_id.as_str()],
                },
                RateKey::Object => {
                    let (kind, name) = object(&self.operation.target).unwrap_or_default();
                    [kind, name]
                }
                RateKey::Server => ["", self.server],
            })
            .collect();
        Bucket::new(limit, &values)
    }
}
