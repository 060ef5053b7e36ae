//! No order of events lets an undecided or denied request go on.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::driver::*;
use crate::gate::*;

/// What a host may call, in whatever order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Headers,
    Body,
    BodyEnd,
    Trailers,
    Settled,
    Abandoned,
    HoldCheck,
    ServerAnswers,
    ServerRefuses,
    /// With something that is no list.
    ServerStrays,
    ProxyAnswers,
    ResponseBody,
}

/// All calls; the first seven are those a decision depends on.
const CALLS: [Call; 12] = [
    Call::Headers,
    Call::Body,
    Call::BodyEnd,
    Call::Trailers,
    Call::Settled,
    Call::HoldCheck,
    Call::ServerAnswers,
    Call::Abandoned,
    Call::ServerRefuses,
    Call::ServerStrays,
    Call::ProxyAnswers,
    Call::ResponseBody,
];

/// One kind of request under one kind of configuration.
#[derive(Clone)]
struct Scene {
    mode: HostMode,
    keys_at_hand: bool,
    /// The issuer is asked about the token once the body was read.
    asks: bool,
    authentic: bool,
    allowed: bool,
    config: serde_json::Value,
    request: Request,
    body: String,
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scene { mode, keys_at_hand, asks, authentic, body, .. } = self;
        write!(f, "{mode:?}, keys {keys_at_hand}, asks {asks}, authentic {authentic}, {body}")
    }
}

/// What the effects so far mean for the request, told from the outside.
#[derive(Default)]
struct Seen {
    headers: bool,
    body_shown: bool,
    body_complete: bool,
    headers_gone: bool,
    forwarded: bool,
    replied: bool,
    /// The `{}` that answers a list request was replaced by an error.
    response_refused: bool,
}

impl Seen {
    /// Judges one answer of the gate to a call that concerns the request.
    fn check_request(
        &mut self,
        call: Call,
        scene: &Scene,
        effects: &Effects,
    ) -> Result<(), String> {
        let fail = |what: &str| Err(what.to_owned());
        // Headers after our answer to a stream without any open nothing.
        self.headers |= call == Call::Headers && !self.replied;
        if !effects.request_headers.is_empty()
            && (self.headers_gone || effects.flow != Flow::Continue)
        {
            return fail("headers edited that are not held, or do not go on");
        }
        if effects.reply.is_some() {
            if self.replied {
                return fail("two replies");
            }
            if effects.flow == Flow::Continue {
                return fail("a reply, and the request goes on");
            }
            self.replied = true;
            return Ok(());
        }
        if effects.flow == Flow::Pause {
            return Ok(());
        }
        if self.replied {
            return fail("answered, and the request goes on");
        }
        if self.forwarded {
            return Ok(());
        }
        if !scene.authentic || !self.headers {
            return fail("went on without an authenticated caller");
        }
        let ends = match call {
            Call::Settled => true,
            Call::BodyEnd | Call::Trailers => !scene.asks,
            _ => false,
        };
        if ends && self.body_complete && scene.allowed {
            self.forwarded = true;
        } else if scene.mode == HostMode::Hold {
            return fail("undecided, and went on in hold mode");
        } else if !matches!(call, Call::Headers | Call::Settled) {
            return fail("undecided, and more than the headers went on");
        } else if self.body_shown || self.headers_gone {
            return fail("undecided, and a body that was withheld went on");
        }
        self.headers_gone = true;
        Ok(())
    }

    /// Judges one answer of the gate to a call that concerns the response.
    fn check_response(&mut self, call: Call, effects: &Effects) -> Result<(), String> {
        if !effects.request_headers.is_empty() {
            return Err("request headers edited on the way back".to_owned());
        }
        if matches!(call, Call::ServerAnswers | Call::ServerStrays)
            && !self.forwarded
            && !self.replied
            && effects.reply.is_none()
        {
            return Err("an answer to a request that was not forwarded passed".to_owned());
        }
        self.response_refused |= effects.response_body.is_some();
        if effects.reply.is_some() && std::mem::replace(&mut self.replied, true) {
            return Err("two replies".to_owned());
        }
        Ok(())
    }
}

/// Plays one order of calls. Whether the request was forwarded.
fn run(scene: &Scene, word: &[Call]) -> Result<bool, String> {
    let mut driver = Driver::of(&scene.config);
    let mut seen = Seen::default();
    let answer = |status| [(":status", status), ("content-type", "application/json")];
    for &call in word {
        let is_body = matches!(call, Call::Body | Call::BodyEnd | Call::Trailers);
        if is_body && seen.headers {
            seen.body_shown = true;
            seen.body_complete |= call != Call::Body;
        }
        let effects = match call {
            Call::Headers => driver.headers(&scene.request, true),
            Call::Body => driver.body(&scene.body, false),
            Call::BodyEnd => driver.body(&scene.body, true),
            Call::Trailers => driver.trailers(&scene.body),
            Call::Settled if scene.asks => {
                let scope = if scene.allowed { "docs.read" } else { "" };
                driver.settle(200, &active(scope), &scene.body)
            }
            Call::Settled => driver.keys_settle(200, &scene.body),
            Call::Abandoned => driver.on(Event::Abandoned),
            Call::HoldCheck => {
                driver.host.advance(Duration::from_secs(3));
                driver.hold_check(1000)
            }
            Call::ServerAnswers => driver.response(&answer("200"), false),
            Call::ServerRefuses => driver.response(&answer("500"), false),
            Call::ServerStrays => driver.response(&[(":status", "200")], false),
            Call::ProxyAnswers => driver.response_of(&answer("200"), false, false),
            Call::ResponseBody => driver.response_body("{}", true),
        };
        if matches!(
            call,
            Call::ServerAnswers
                | Call::ServerRefuses
                | Call::ServerStrays
                | Call::ProxyAnswers
                | Call::ResponseBody
        ) {
            seen.check_response(call, &effects)?;
        } else {
            seen.check_request(call, scene, &effects)?;
        }
    }
    let record = driver.on(Event::Done).record;
    if record.is_some() != seen.headers {
        return Err("not one record for one request".to_owned());
    }
    let allowed = record.is_some_and(|record| record.contains(r#""outcome":"allow""#));
    if allowed != (seen.forwarded && !seen.replied && !seen.response_refused) {
        return Err("the record tells another outcome".to_owned());
    }
    if driver.on(Event::Done).record.is_some() {
        return Err("a second record".to_owned());
    }
    Ok(seen.forwarded)
}

/// Every word of that length in that alphabet, each behind `opening`.
fn all_words(opening: &[Call], alphabet: &[Call], length: u32, check: &mut dyn FnMut(&[Call])) {
    let base = alphabet.len();
    for number in 0..base.pow(length) {
        let letters = (0..length).map(|place| alphabet[number / base.pow(place) % base]);
        check(&opening.iter().copied().chain(letters).collect::<Vec<_>>());
    }
}

fn scenes() -> Vec<Scene> {
    let scopes = token("docs.read");
    let mut scenes = Vec::new();
    for mode in BOTH_MODES {
        for (keys_at_hand, config) in [(true, config(mode)), (false, remote_keys(mode))] {
            for (authentic, allowed, token, body) in [
                (true, true, scopes.as_str(), call("search")),
                (true, true, &scopes, rpc("tools/list", &json!({}))),
                (true, false, &scopes, call("hidden")),
                (true, false, &scopes, "{".to_owned()),
                (false, false, "no.token.", call("search")),
            ] {
                let request = Request::post(token);
                let config = config.clone();
                scenes.push(Scene {
                    mode,
                    keys_at_hand,
                    asks: false,
                    authentic,
                    allowed,
                    config,
                    request,
                    body,
                });
            }
        }
        for allowed in [true, false] {
            scenes.push(Scene {
                mode,
                keys_at_hand: true,
                asks: true,
                authentic: true,
                allowed,
                config: asked(mode),
                request: Request::post(&scopes),
                body: call("search"),
            });
        }
    }
    scenes
}

#[test]
fn no_order_of_events_lets_an_undecided_or_denied_request_go_on() {
    for scene in scenes() {
        let mut ever_forwarded = false;
        let mut check = |word: &[Call]| match run(&scene, word) {
            Ok(forwarded) => ever_forwarded |= forwarded,
            Err(fault) => panic!("{scene}: {word:?}: {fault}"),
        };
        all_words(&[], &CALLS, 2, &mut check);
        all_words(&[Call::Headers], &CALLS, 3, &mut check);
        all_words(&[Call::Headers], &CALLS[..7], 4, &mut check);
        assert_eq!(ever_forwarded, scene.authentic && scene.allowed, "{scene}");
    }
}
