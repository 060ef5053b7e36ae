//! What one caller brings never goes on, and makes no difference to others.

use std::collections::BTreeSet;

use super::support::*;
use crate::exchange::profile::DependsOn;
use crate::exchange::{
    ActorToken, BoundTokens, ClientCredentials, Exchange, ExchangeError, Exchanger, Expected, Flaw,
    Format, Origin, Profile, Target, TokenEndpoint, TokenExchange, TokenType,
};
use crate::host::{Callout, CalloutAnswer};
use crate::token::ClientAuthentication;

const UNCHANGED: ExchangeError = ExchangeError::Unusable(Flaw::Unchanged);

/// As long as a token is at least.
const AGENT: &str = "agents-own-token";
const SVID: &str = "workloads-svid-1";

fn endpoint() -> TokenEndpoint {
    let request = Callout {
        cluster: "as".to_owned(),
        method: "POST",
        scheme: "https".to_owned(),
        authority: "as.example.com".to_owned(),
        path: "/token".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: TIMEOUT,
    };
    TokenEndpoint { request, client: ClientAuthentication::Injected }
}

fn opaque() -> Expected {
    Expected { format: Format::Opaque, bound: BoundTokens::Refuse }
}

fn client_credentials() -> Profile {
    let target = Target::default();
    Profile::ClientCredentials(ClientCredentials {
        endpoint: endpoint(),
        target,
        expected: opaque(),
    })
}

fn token_exchange_with_own_actor() -> Profile {
    Profile::TokenExchange(TokenExchange {
        endpoint: endpoint(),
        target: Target::default(),
        subject_token_type: TokenType::AccessToken,
        requested_token_type: None,
        actor: Some(ActorToken::Own { target: Target::default(), scopes: Vec::new() }),
        expected: opaque(),
    })
}

fn world(profile: Profile) -> World {
    World::of(Exchanger::new(vec![Exchange { name: "one".into(), profile }]))
}

fn grants(token: &str) -> CalloutAnswer {
    let kind = TokenType::AccessToken.as_str();
    let body = format!(
        r#"{{"access_token": "{token}", "token_type": "Bearer", "issued_token_type": "{kind}"}}"#
    );
    let headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
    CalloutAnswer { headers, ..says(&body) }
}

/// Sends the shortest text for an agent's token, which is in most tokens.
fn mallory() -> Request {
    Request { agent_token: Some("e"), jwt_svid: Some("e"), ..Request::by("mallorys-token") }
        .for_scopes(&[])
}

fn bob() -> Request {
    Request { scopes: BTreeSet::new(), ..Request::by("bobs-token") }
}

#[test]
fn nobody_spoils_a_shared_answer_by_what_comes_along() {
    let mut world = world(client_credentials());
    let errand = world.waits(&mallory());
    assert_eq!(world.waits(&bob()), errand);
    assert_eq!(world.tick(), []);
    assert_eq!(world.answer(1, &grants("service-token")), Some(vec![errand]));
    for caller in [bob(), mallory()] {
        let expected = ("service-token".to_owned(), Origin::Exchanged);
        assert_eq!(world.ready(&caller, Some(errand)), expected);
    }
}

#[test]
fn nobody_spoils_our_own_token_by_what_comes_along() {
    let mut world = world(token_exchange_with_own_actor());
    let errands = [mallory(), bob()].map(|caller| world.waits(&caller));
    assert_eq!(world.tick(), []);
    assert_eq!(world.answer(1, &grants("service-token")).map(|settled| settled.len()), Some(1));
    for (place, (caller, errand)) in [mallory(), bob()].into_iter().zip(errands).enumerate() {
        assert_eq!(world.answer(place + 2, &grants("for-the-server")), Some(vec![errand]));
        assert_eq!(world.ready(&caller, Some(errand)).0, "for-the-server");
    }
}

#[test]
fn shared_credential_does_not_go_on_for_whose_token_it_is() {
    let own = [
        Request::by("shared"),
        Request::by("hare"),
        Request { agent_token: Some(AGENT), ..Request::by("mallorys-token") },
        Request { jwt_svid: Some(SVID), ..Request::by("mallorys-token") },
    ];
    let text = format!("shared.{AGENT}.{SVID} 300");
    for caller in own {
        let mut world = World::with(Double::depending_on(OF_NOTHING));
        let errand = world.waits(&caller);
        assert_eq!(world.waits(&bob().for_scopes(&["docs.read"])), errand);
        assert_eq!(world.tick(), []);
        assert_eq!(world.say(&text), [errand]);
        for waited in [Some(errand), None] {
            assert_eq!(world.refused(&caller, waited), UNCHANGED);
            // Nobody else is refused for it, then or later.
            world.ready(&bob().for_scopes(&["docs.read"]), waited);
        }
        // What is too short for a token is in one by chance.
        let chance = Request { agent_token: Some("agent"), jwt_svid: Some("svid"), ..alice() };
        world.ready(&chance, None);
    }
}

#[test]
fn actors_token_that_plays_no_part_does_not_go_on_either() {
    for (caller, part) in [
        (
            Request { agent_token: Some(AGENT), ..alice() },
            DependsOn { jwt_svid: true, ..OF_CALLER },
        ),
        (Request { jwt_svid: Some(SVID), ..alice() }, OF_CALLER),
    ] {
        let mut world = World::with(Double::depending_on(part));
        let errand = world.run(&caller, &says(&format!("x{AGENT}{SVID} 300")));
        assert_eq!(world.refused(&caller, Some(errand)), UNCHANGED);
        assert_eq!(world.ready(&alice(), None).1, Origin::Cached);
    }
}
