//! Compiles rates: how often something may be done.

use std::rc::Rc;
use std::time::Duration;

use super::compile::Notes;
use super::document::Rate;
use crate::policy::RateLimit;

/// Most rates of a server, and of a rule: each call of it looks into a bucket of each.
const MAX_RATES: usize = 8;

/// Most calls in a period, and at once. More than a proxy sees is no limit.
const MAX_CALLS: u32 = 1_000_000;

/// Compiles the list of rates at `path`, which may be empty.
pub(super) fn compile(notes: &mut Notes, path: &str, rates: &[Rate]) -> Vec<Rc<RateLimit>> {
    if rates.len() > MAX_RATES {
        let message = format!("has {} entries; at most {MAX_RATES} are taken", rates.len());
        notes.problem(path, message);
    }
    let mut limits: Vec<Rc<RateLimit>> = Vec::new();
    for (index, rate) in rates.iter().enumerate() {
        let path = format!("{path}[{index}]");
        notes.unique(&format!("{path}.by"), &rate.by);
        let Some((requests, period)) = read(notes, &format!("{path}.limit"), &rate.limit) else {
            continue;
        };
        let burst = rate.burst.unwrap_or(requests);
        if !(1..=MAX_CALLS).contains(&burst) {
            notes.problem(format!("{path}.burst"), format!("must be from 1 to {MAX_CALLS}"));
        }
        let mut by = rate.by.clone();
        by.sort_unstable();
        if limits.iter().any(|limit| limit.period == period && limit.by == by) {
            let message = "is one more for the same calls and the same period; which should hold?";
            notes.problem(&path, message);
        }
        limits.push(Rc::new(RateLimit { id: path, requests, period, burst, by }));
    }
    limits
}

/// Compiles the rate of an agent, whoever it acts for and wherever: one bucket.
pub(super) fn of_agent(notes: &mut Notes, path: &str, text: &str) -> Option<Rc<RateLimit>> {
    let (requests, period) = read(notes, path, text)?;
    let id = path.to_owned();
    Some(Rc::new(RateLimit { id, requests, period, burst: requests, by: Vec::new() }))
}

/// So many calls, and the period.
fn read(notes: &mut Notes, path: &str, text: &str) -> Option<(u32, Duration)> {
    let seconds = |unit| match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(60 * 60),
        "d" => Some(24 * 60 * 60),
        _ => None,
    };
    let read = text.split_once('/').and_then(|(calls, unit)| {
        let is_number = !calls.is_empty() && calls.bytes().all(|b| b.is_ascii_digit());
        is_number.then_some((calls, Duration::from_secs(seconds(unit)?)))
    });
    let Some((calls, period)) = read else {
        notes.problem(path, "is no rate such as `60/m`: calls in one `s`, `m`, `h` or `d`");
        return None;
    };
    match calls.parse() {
        Ok(requests @ 1..=MAX_CALLS) => Some((requests, period)),
        _ => {
            notes.problem(path, format!("must be from 1 to {MAX_CALLS} calls"));
            None
        }
    }
}
