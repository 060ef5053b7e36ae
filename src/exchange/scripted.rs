//! An exchanger that answers what a test says, for what stands on exchanges.
#![expect(clippy::expect_used, reason = "tests may panic")]

use std::collections::{BTreeSet, VecDeque};

use super::{Errand, ExchangeId, Exchanger, Outcome, Wanted};

/// What it answers, and what it was asked.
#[derive(Debug, Default)]
pub(super) struct Script {
    answers: VecDeque<Outcome>,
    asked: Vec<Asked>,
}

/// What it was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) exchange: ExchangeId,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) token: String,
    pub(crate) agent_token: Option<String>,
    pub(crate) waited: Option<Errand>,
}

impl Errand {
    /// One that nobody runs.
    pub(crate) fn assumed(number: u64) -> Self {
        Errand(number)
    }
}

impl Exchanger {
    /// One that gives these answers, one after the other.
    pub(crate) fn scripted(answers: impl IntoIterator<Item = Outcome>) -> Self {
        let script = Script { answers: answers.into_iter().collect(), ..Script::default() };
        Exchanger { script: Some(script), ..Exchanger::default() }
    }

    /// What it was asked, in order.
    pub(crate) fn asked(&self) -> &[Asked] {
        self.script.as_ref().map_or(&[], |script| &script.asked)
    }
}

impl Script {
    pub(super) fn answer(&mut self, wanted: &Wanted<'_>, waited: Option<Errand>) -> Outcome {
        self.asked.push(Asked {
            exchange: wanted.exchange,
            scopes: wanted.scopes.clone(),
            token: wanted.subject.token.to_owned(),
            agent_token: wanted.subject.agent_token.map(str::to_owned),
            waited,
        });
        self.answers.pop_front().expect("an answer")
    }
}
