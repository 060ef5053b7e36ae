//! The agents that are known, how each is recognised, and what it may do at most.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;

use super::identity::Identity;
use super::limits::RateLimit;
use super::pattern::Pattern;
use super::scopes::Scopes;
use super::table::{PatternTable, TableError};
use crate::mcp::Target;
use crate::token::{AccessToken, Actor, IssuerId, SpiffeId, SubjectKind};

/// The catalogue. Without one, every client of an accepted issuer is an agent of no name.
#[derive(Debug, Default)]
pub struct Agents {
    entries: Vec<Rc<KnownAgent>>,
    by_token: HashMap<IssuerId, Names>,
    by_workload: HashMap<SpiffeId, Rc<KnownAgent>>,
}

/// What the tokens of an issuer name agents by.
#[derive(Debug, Default)]
struct Names {
    clients: HashMap<String, Rc<KnownAgent>>,
    actors: HashMap<String, Rc<KnownAgent>>,
    claims: HashMap<String, Rc<KnownAgent>>,
}

/// An agent: what it is recognised by, and its side of every decision. Both the user's side
/// and the agent's have to permit.
#[derive(Debug, Default)]
pub struct Agent {
    /// Its name in the configuration.
    pub name: String,
    /// What it is recognised by: any of these. Evidence that names two agents is refused.
    pub identifiers: Vec<AgentIdentifier>,
    /// Issuers that may vouch for the identifiers which a token has; a client identifier of
    /// another issuer is another client's.
    pub issuers: Vec<IssuerId>,
    /// Scopes without which it does nothing at all.
    pub required_scopes: BTreeSet<String>,
    /// Scopes it may use besides; others of the token do not count. `None`: every scope.
    pub optional_scopes: Option<BTreeSet<String>>,
    /// Resource identifiers of the servers it may use; `None` for all.
    pub servers: Option<BTreeSet<String>>,
    /// Tools it may use at most; `None` for all.
    pub tools: Option<Vec<Pattern>>,
    /// Prompts it may use at most; `None` for all.
    pub prompts: Option<Vec<Pattern>>,
    /// Resources it may use at most; `None` for all.
    pub resources: Option<Vec<Pattern>>,
    /// Versions of it that are accepted, by the issuer's claim; `None` for all, unsaid ones
    /// included.
    pub versions: Option<Vec<Pattern>>,
    /// Whether the issuer has to name the instance.
    pub needs_instance: bool,
    /// How often it may call, over all subjects and servers.
    pub rate: Option<Rc<RateLimit>>,
}

/// What an agent is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AgentIdentifier {
    /// The OAuth client, where the token has no actor.
    Client(String),
    /// `sub` of the current actor (`act`).
    Actor(String),
    /// The issuer's own claim for agents (`claims.agent`).
    Claim(String),
    /// The workload that sends the request.
    Workload(SpiffeId),
}

/// Who the agent of a caller is.
#[derive(Debug, Clone, Copy)]
pub enum Recognised<'a> {
    /// One of the catalogue.
    Known(&'a KnownAgent),
    /// Nobody of the catalogue.
    Unknown,
    /// The token says somebody else than the workload proves.
    Mismatch,
    /// There is no catalogue.
    NotTold,
}

/// An agent of the catalogue, ready for decisions.
#[derive(Debug)]
pub struct KnownAgent {
    /// The agent.
    pub agent: Agent,
    /// Its name, for records.
    pub name: Rc<str>,
    tools: Option<PatternTable<()>>,
    prompts: Option<PatternTable<()>>,
    resources: Option<PatternTable<()>>,
}

/// A catalogue that says two things at once, or too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentsError {
    /// Two agents are recognised by the same.
    #[error("{first} and {second} are both recognised by {identifier}")]
    Duplicate {
        /// What they share.
        identifier: AgentIdentifier,
        /// The earlier agent.
        first: String,
        /// The later one.
        second: String,
    },
    /// An agent's pattern cannot be looked up.
    #[error("a pattern of {agent} {error}")]
    Pattern {
        /// The agent.
        agent: String,
        /// Why not.
        error: TableError,
    },
}

impl Agents {
    /// A catalogue of these.
    ///
    /// # Errors
    /// [`AgentsError`] when evidence could name two agents.
    pub fn new(entries: Vec<Agent>) -> Result<Self, AgentsError> {
        let mut agents = Agents::default();
        for agent in entries {
            let known = Rc::new(KnownAgent::new(agent)?);
            for identifier in &known.agent.identifiers {
                agents.index(identifier, &known)?;
            }
            agents.entries.push(known);
        }
        Ok(agents)
    }

    /// Its agents.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.entries.iter().map(|known| &known.agent)
    }

    /// Who the agent of a caller is: by the current actor, else by the issuer's claim for
    /// agents, else by the client. Each of these hides the next, known or not: an actor that
    /// nobody knows must not become its client.
    #[must_use]
    pub fn identify(&self, identity: &Identity<'_>) -> Recognised<'_> {
        let token = identity.token;
        let names = self.by_token.get(&token.issuer);
        let (named, by_client) = match (token.actors.first(), &token.agent.id) {
            // Its `sub` is unique at its issuer only.
            (Some(actor), _) if !actor.is_of(&token.issuer_url) => (None, false),
            (Some(Actor { subject, .. }), _) => {
                (names.zip(subject.as_ref()).and_then(|(it, sub)| it.actors.get(sub)), false)
            }
            (None, Some(claim)) => (names.and_then(|it| it.claims.get(claim)), false),
            (None, None) => (names.and_then(|it| it.clients.get(&token.client_id)), true),
        };
        let proved = identity.workload.and_then(|workload| self.by_workload.get(workload));
        match (named, proved) {
            (Some(named), Some(proved)) if !Rc::ptr_eq(named, proved) => Recognised::Mismatch,
            (None, Some(proved)) if by_client => Recognised::Known(proved),
            (None, Some(_)) => Recognised::Mismatch,
            (Some(named), _) => Recognised::Known(named),
            (None, None) => Recognised::Unknown,
        }
    }

    /// Whether a token says it is a user's while its subject is a client of the catalogue: of
    /// that client's own token, which another one exchanged for its own (RFC 8693), not every
    /// issuer leaves a mark.
    pub(super) fn is_client_as_user(&self, token: &AccessToken) -> bool {
        let names = self.by_token.get(&token.issuer);
        token.kind == SubjectKind::User
            && names.is_some_and(|names| names.clients.contains_key(&token.subject))
    }

    /// Whether a token of nobody that is known, by its actor or the issuer's claim, comes
    /// through a client that is: it must not be rid of its limits by that.
    pub(super) fn knows_client(&self, token: &AccessToken) -> bool {
        let names = self.by_token.get(&token.issuer);
        names.is_some_and(|names| names.clients.contains_key(&token.client_id))
    }

    fn index(
        &mut self,
        identifier: &AgentIdentifier,
        known: &Rc<KnownAgent>,
    ) -> Result<(), AgentsError> {
        let mut earlier = None;
        if let AgentIdentifier::Workload(workload) = identifier {
            earlier = self.by_workload.insert(workload.clone(), Rc::clone(known));
        } else {
            for issuer in &known.agent.issuers {
                let names = self.by_token.entry(*issuer).or_default();
                earlier = earlier.or(names.insert(identifier, known));
            }
        }
        match earlier.filter(|first| !Rc::ptr_eq(first, known)) {
            Some(first) => Err(AgentsError::Duplicate {
                identifier: identifier.clone(),
                first: first.agent.name.clone(),
                second: known.agent.name.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl Names {
    fn insert(
        &mut self,
        identifier: &AgentIdentifier,
        known: &Rc<KnownAgent>,
    ) -> Option<Rc<KnownAgent>> {
        let (names, name) = match identifier {
            AgentIdentifier::Client(name) => (&mut self.clients, name),
            AgentIdentifier::Actor(name) => (&mut self.actors, name),
            AgentIdentifier::Claim(name) => (&mut self.claims, name),
            AgentIdentifier::Workload(_) => return None,
        };
        names.insert(name.clone(), Rc::clone(known))
    }
}

impl KnownAgent {
    fn new(agent: Agent) -> Result<Self, AgentsError> {
        let table = |patterns: &Option<Vec<Pattern>>| {
            let Some(patterns) = patterns else { return Ok(None) };
            let mut table = PatternTable::default();
            for pattern in patterns {
                table
                    .insert(pattern.clone(), ())
                    .map_err(|error| AgentsError::Pattern { agent: agent.name.clone(), error })?;
            }
            Ok(Some(table))
        };
        Ok(KnownAgent {
            tools: table(&agent.tools)?,
            prompts: table(&agent.prompts)?,
            resources: table(&agent.resources)?,
            name: agent.name.as_str().into(),
            agent,
        })
    }

    /// Whether it may use an object at all, whoever it acts for.
    pub(super) fn may_use(&self, target: &Target) -> bool {
        let has = |table: &Option<PatternTable<()>>, name: &str| {
            table.as_ref().is_none_or(|table| table.find(name).next().is_some())
        };
        match target {
            Target::Tool(name) => has(&self.tools, name),
            Target::Prompt(name) => has(&self.prompts, name),
            Target::Resource(uri) | Target::ResourceTemplate(uri) => {
                self.resources.as_ref().is_none_or(|table| table.find_uri(uri).next().is_some())
            }
            Target::None | Target::Task(_) | Target::Subscription { .. } => true,
        }
    }

    /// Whether it may use a scope, whoever has it.
    pub(super) fn may_use_scope(&self, scopes: &Scopes, scope: &str) -> bool {
        self.agent.optional_scopes.as_ref().is_none_or(|optional| {
            scopes.covers(optional, scope) || scopes.covers(&self.agent.required_scopes, scope)
        })
    }

    /// Whether its version is accepted.
    pub(super) fn accepts_version(&self, version: Option<&str>) -> bool {
        self.agent.versions.as_ref().is_none_or(|accepted| {
            version.is_some_and(|version| accepted.iter().any(|it| it.matches(version)))
        })
    }
}

impl fmt::Display for AgentIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentIdentifier::Client(name) => write!(f, "client:{name}"),
            AgentIdentifier::Actor(name) => write!(f, "act:{name}"),
            AgentIdentifier::Claim(name) => write!(f, "agent:{name}"),
            AgentIdentifier::Workload(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;
    use crate::policy::tests::{actor, identity, set, token};
    use crate::token::{AccessToken, Verified};

    const SUPPORT: &str = "spiffe://corp.example/support";
    const REPORTS: &str = "spiffe://corp.example/reports";

    fn workload(id: &str) -> AgentIdentifier {
        AgentIdentifier::Workload(SpiffeId::parse(id).unwrap())
    }

    fn agent(name: &str, identifiers: Vec<AgentIdentifier>) -> Agent {
        let issuers = vec![IssuerId(0)];
        Agent { name: name.to_owned(), identifiers, issuers, ..Agent::default() }
    }

    fn catalogue() -> Agents {
        let text = str::to_owned;
        Agents::new(vec![
            agent("support", vec![AgentIdentifier::Client(text("agent")), workload(SUPPORT)]),
            agent("reports", vec![AgentIdentifier::Actor(text("reports")), workload(REPORTS)]),
            agent("entra", vec![AgentIdentifier::Claim(text("entra"))]),
        ])
        .unwrap()
    }

    fn recognised(token: AccessToken, workload: Option<&str>) -> String {
        let workload = workload.map(|id| SpiffeId::parse(id).unwrap());
        let token = Verified::assumed(token);
        let identity = Identity { workload: workload.as_ref(), ..identity(&token) };
        match catalogue().identify(&identity) {
            Recognised::Known(known) => known.name.to_string(),
            other => format!("{other:?}"),
        }
    }

    fn acting(sub: &str) -> AccessToken {
        AccessToken { actors: vec![actor(sub)], ..token(&[]) }
    }

    #[test]
    fn an_agent_is_recognised_by_actor_claim_or_client() {
        assert_eq!(recognised(token(&[]), None), "support");
        assert_eq!(recognised(acting("reports"), None), "reports");
        let mut claimed = token(&[]);
        claimed.agent.id = Some("entra".to_owned());
        assert_eq!(recognised(claimed.clone(), None), "entra");
        claimed.actors = vec![actor("reports")];
        assert_eq!(recognised(claimed, None), "reports");
    }

    #[test]
    fn rfc_8693_4_1_an_unknown_actor_is_not_its_client() {
        assert_eq!(recognised(acting("stranger"), None), "Unknown");
        assert_eq!(recognised(acting("agent"), None), "Unknown", "a client's name is no actor's");
        let mut claimed = token(&[]);
        claimed.agent.id = Some("stranger".to_owned());
        assert_eq!(recognised(claimed, None), "Unknown");
        let mut nested = acting("stranger");
        nested.actors.push(actor("reports"));
        assert_eq!(recognised(nested, None), "Unknown", "prior actors are nobody");
    }

    #[test]
    fn names_are_those_of_their_issuer() {
        let mut other = token(&[]);
        other.issuer = IssuerId(1);
        assert_eq!(recognised(other, None), "Unknown");
        let mut foreign = acting("reports");
        let of = |issuer: &str| Actor { issuer: Some(issuer.to_owned()), ..actor("reports") };
        foreign.actors = vec![of("https://other.example")];
        assert_eq!(recognised(foreign.clone(), None), "Unknown");
        foreign.actors = vec![of("https://idp.example")];
        assert_eq!(recognised(foreign, None), "reports");
    }

    #[test]
    fn evidence_that_names_two_agents_names_none() {
        assert_eq!(recognised(token(&[]), Some(SUPPORT)), "support");
        assert_eq!(recognised(token(&[]), Some(REPORTS)), "Mismatch");
        assert_eq!(recognised(token(&[]), Some("spiffe://corp.example/other")), "support");
        let mut unknown_client = token(&[]);
        unknown_client.client_id = "stranger".to_owned();
        assert_eq!(recognised(unknown_client, Some(REPORTS)), "reports");
        assert_eq!(recognised(acting("stranger"), Some(REPORTS)), "Mismatch");
    }

    #[test]
    fn what_two_agents_are_recognised_by_is_told() {
        let client = || vec![AgentIdentifier::Client("c".to_owned())];
        let error = Agents::new(vec![agent("a", client()), agent("b", client())]).unwrap_err();
        assert_eq!(error.to_string(), "a and b are both recognised by client:c");
        let shared = || vec![workload(SUPPORT)];
        let error = Agents::new(vec![agent("a", shared()), agent("b", shared())]).unwrap_err();
        assert_eq!(error.to_string(), format!("a and b are both recognised by {SUPPORT}"));
        let elsewhere = Agent { issuers: vec![IssuerId(1)], ..agent("b", client()) };
        assert!(Agents::new(vec![agent("a", client()), elsewhere]).is_ok());
    }

    #[test]
    fn the_ceiling_of_scopes_is_what_they_imply() {
        let implies = [("docs.write".to_owned(), set(&["docs.read"]))].into();
        let scopes = Scopes::new(implies, [].into()).unwrap();
        let known = |optional: Option<&[&str]>| {
            let required_scopes = set(&["profile"]);
            let optional_scopes = optional.map(set);
            KnownAgent::new(Agent { required_scopes, optional_scopes, ..Agent::default() }).unwrap()
        };
        assert!(known(None).may_use_scope(&scopes, "anything"));
        let writer = known(Some(&["docs.write"]));
        for (scope, may) in
            [("docs.write", true), ("docs.read", true), ("profile", true), ("x", false)]
        {
            assert_eq!(writer.may_use_scope(&scopes, scope), may, "{scope}");
        }
        assert!(!known(Some(&["docs.read"])).may_use_scope(&scopes, "docs.write"));
    }
}
