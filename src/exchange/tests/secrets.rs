//! No token is where it can be read.

use super::support::*;
use crate::exchange::profile::DependsOn;

#[test]
fn no_token_is_in_debug_output_logs_or_metrics() {
    let depends_on = DependsOn { subject: true, jwt_svid: true, agent_token: true };
    let mut world =
        World::with(Double { needs_own_actor: true, ..Double::depending_on(depends_on) });
    let tokens = ["caller-secret", "svid-secret", "agent-secret", "own-secret", "issued-secret"];
    let request = |caller: &str| Request {
        agent_token: Some("agent-secret"),
        jwt_svid: Some("svid-secret"),
        ..Request::by(caller)
    };
    let mut seen = String::new();
    let mut see = |text: String| seen.push_str(&text);
    let errand = world.waits(&request("caller-secret"));
    see(format!("{:?}", world.exchanger));
    assert_eq!(world.tick(), []);
    world.say("own-secret 3000");
    see(format!("{:?} {:?}", world.exchanger, world.host.callouts.borrow()));
    assert_eq!(world.say("issued-secret 300"), [errand]);
    see(format!("{:?}", world.obtain(&request("caller-secret"), Some(errand))));
    for failure in ["exchange_client_rejected", "exchange_answer_malformed"] {
        let other = request(&format!("caller-secret-{failure}"));
        let errand = world.run(&other, &says(failure));
        see(format!("{:?}", world.obtain(&other, Some(errand))));
    }
    for _ in 0..4 {
        let other = request(&format!("caller-secret-{}", world.sent()));
        world.run(&other, &fails());
    }
    see(format!("{:?} {:?}", world.exchanger, world.host.log.borrow()));
    see(format!("{:?} {:?}", world.host.counters.borrow(), world.host.gauges.borrow()));
    for token in tokens {
        assert!(!seen.contains(token), "{token}: {seen}");
    }
    // Something was looked at.
    assert!(seen.contains("LiveExchange") && seen.contains("not asked for"), "{seen}");
}
