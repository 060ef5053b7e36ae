//! Token exchange (RFC 8693).

use std::time::SystemTime;

use super::answer::{self, Grant};
use super::form::{Form, TOKEN_EXCHANGE};
use super::judgement::{Demands, Kind, Party, judge};
use super::width::Width;
use super::{DependsOn, Gain, client_credentials};
use crate::exchange::wish::{Gained, Wish};
use crate::exchange::{
    ActorToken, BoundTokens, ExchangeError, Expected, Format, TokenExchange, TokenType, Wanted,
};
use crate::host::{Callout, CalloutAnswer, Host, HostError};
use crate::token::{AccessToken, Secret, SpiffeId};

impl TokenExchange {
    pub(super) fn check(&self, wanted: &Wanted<'_>) -> Result<(), ExchangeError> {
        let is_there = match self.actor {
            None | Some(ActorToken::Own { .. }) => true,
            Some(ActorToken::JwtSvid) => wanted.subject.jwt_svid.is_some(),
            Some(ActorToken::Agent { .. }) => wanted.subject.agent_token.is_some(),
        };
        if is_there { Ok(()) } else { Err(ExchangeError::NoActor) }
    }

    pub(super) fn depends_on(&self) -> DependsOn {
        DependsOn {
            subject: true,
            jwt_svid: matches!(self.actor, Some(ActorToken::JwtSvid)),
            agent_token: matches!(self.actor, Some(ActorToken::Agent { .. })),
        }
    }

    /// For our own token, where it is the actor's.
    pub(super) fn request_actor(&self, host: &dyn Host) -> Result<Callout, HostError> {
        let Some(ActorToken::Own { target, scopes }) = &self.actor else { return Err(HostError) };
        client_credentials::request(&self.endpoint, target, scopes, host)
    }

    /// Our own token is read by the authorization server that issued it, and by nobody else.
    pub(super) fn read_actor(
        &self,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        let Some(ActorToken::Own { scopes, .. }) = &self.actor else {
            return Err(ExchangeError::NoActor);
        };
        let expected = Expected { format: Format::Opaque, bound: BoundTokens::Refuse };
        let asked = scopes.iter().cloned().collect();
        client_credentials::read(&expected, &asked, answer, now)
    }

    /// The exchange (RFC 8693 section 2.1).
    pub(super) fn request(
        &self,
        wish: &Wish,
        gained: &Gained,
        host: &dyn Host,
    ) -> Result<Callout, HostError> {
        let mut form = Form::new(TOKEN_EXCHANGE)
            .with_target(&self.target)
            .with_scopes(&wish.scopes)
            .with_subject(wish.token.reveal(), self.subject_token_type);
        if let Some(requested) = self.requested_token_type {
            form = form.with("requested_token_type", requested.as_str());
        }
        if let Some(actor) = &self.actor {
            let (token, token_type) = actor.token(wish, gained).ok_or(HostError)?;
            form = form
                .with("actor_token", token.reveal())
                .with("actor_token_type", token_type.as_str());
        }
        form.post(&self.endpoint, host)
    }

    pub(super) fn read(
        &self,
        wish: &Wish,
        answer: &CalloutAnswer,
        now: SystemTime,
    ) -> Result<Gain, ExchangeError> {
        let demands = Demands {
            kind: self.requested_token_type.map_or(Kind::AccessToken, Kind::Exactly),
            expected: &self.expected,
            width: Width::asked(&wish.scopes, Some(&wish.claims.scopes)),
            actors: self.actor.as_ref().map(|actor| self.actors(actor, wish)),
            same_subject: true,
        };
        let grant = match self.actor {
            Some(ActorToken::Agent { .. }) => Grant::SubjectAndAgent,
            None | Some(ActorToken::Own { .. } | ActorToken::JwtSvid) => Grant::Subject,
        };
        let response = answer::read(answer, grant)?;
        judge(response, &demands, Some(wish), now)
            .map(Gain::Credential)
            .map_err(ExchangeError::Unusable)
    }

    /// What the current actor is called whose token was sent. Nothing, where we do not know what
    /// we are called: then the configuration has to say it.
    fn actors<'a>(&'a self, actor: &ActorToken, wish: &'a Wish) -> Vec<Party<'a>> {
        match actor {
            ActorToken::Own { .. } => {
                let issuer = Some(wish.claims.issuer_url.as_str());
                let client_id = self.endpoint.client.client_id();
                client_id.map(|name| Party { name, issuer }).into_iter().collect()
            }
            ActorToken::JwtSvid => {
                let party = |id: &'a SpiffeId| Party { name: id.as_str(), issuer: None };
                wish.jwt_svid.iter().map(|(_, id)| party(id)).collect()
            }
            ActorToken::Agent { .. } => agents(&wish.claims),
        }
    }
}

impl ActorToken {
    fn token<'a>(&self, wish: &'a Wish, gained: &'a Gained) -> Option<(&'a Secret, TokenType)> {
        match self {
            ActorToken::Own { .. } => Some((gained.actor.as_ref()?, TokenType::AccessToken)),
            ActorToken::JwtSvid => Some((&wish.jwt_svid.as_ref()?.0, TokenType::Jwt)),
            ActorToken::Agent { token_type } => Some((wish.agent_token.as_ref()?, *token_type)),
        }
    }
}

/// What the agent is called that policy decided on: the client of the caller's token, or its
/// current actor. The agent's own token is not ours to believe: of another issuer, it may be
/// another agent's of the same name.
fn agents(caller: &AccessToken) -> Vec<Party<'_>> {
    let current = caller.actors.first().into_iter().flat_map(|actor| {
        let issuer = Some(actor.issuer.as_deref().unwrap_or(&caller.issuer_url));
        let names = [&actor.subject, &actor.client_id].into_iter().flatten();
        names.map(move |name| Party { name, issuer })
    });
    let client = Party { name: &caller.client_id, issuer: Some(&caller.issuer_url) };
    current.chain([client]).collect()
}
