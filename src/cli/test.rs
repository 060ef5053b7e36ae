//! `countersign test`: whether policies say what their authors expect.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use serde::Serialize;

use super::UNUSABLE;
use super::answer::{Answer, Verdict};
use super::call::Call;
use super::caller::Party;
use super::deployment::{Deployment, unknown};
use super::files::{Unusable, fixtures, read_document};
use super::fixture::{Case, Entries, Expectation, Fixture, ListCase, Short};
use super::junit;
use super::time::now;
use crate::config::Problem;
use crate::gate::Server;
use crate::mcp::Target;

/// Stands for no credential in `exchange`.
const NO_EXCHANGE: &str = "none";

/// What became of a fixture.
pub(super) struct Report {
    /// Its path.
    pub(super) file: String,
    /// Its tests, or why it has none.
    pub(super) tests: Result<Vec<Test>, Unusable>,
}

/// What became of a test.
pub(super) struct Test {
    pub(super) name: String,
    /// What is not as expected, and what there is instead.
    pub(super) failure: Option<Failure>,
}

/// What is not as expected.
pub(super) struct Failure {
    /// A line for each difference.
    pub(super) differences: Vec<String>,
    /// What becomes of the operation.
    pub(super) explanation: String,
}

/// Runs the fixtures at the paths.
pub(super) fn run(
    paths: &[OsString],
    junit: Option<&OsStr>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    let mut reports = Vec::new();
    for path in paths.iter().map(Path::new) {
        match fixtures(path) {
            Ok(files) => reports.extend(files.iter().map(|file| Report::of(file))),
            Err(unusable) => {
                reports.push(Report { file: path.display().to_string(), tests: Err(unusable) });
            }
        }
    }
    for report in &reports {
        report.print(out, err)?;
    }
    let tests = || reports.iter().filter_map(|report| report.tests.as_ref().ok()).flatten();
    let failed = tests().filter(|test| test.failure.is_some()).count();
    let unusable = reports.iter().filter(|report| report.tests.is_err()).count();
    write!(out, "{} tests, {failed} failed", tests().count())?;
    if unusable > 0 {
        write!(out, "; files that could not be used: {unusable}")?;
    }
    writeln!(out)?;
    if let Some(path) = junit {
        let written = File::create(path).and_then(|file| junit::write(&reports, file));
        if let Err(error) = written {
            writeln!(err, "{}: {error}", Path::new(path).display())?;
            return Ok(ExitCode::from(UNUSABLE));
        }
    }
    Ok(match (unusable, failed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::FAILURE,
        _ => ExitCode::from(UNUSABLE),
    })
}

impl Report {
    fn of(path: &Path) -> Self {
        let tests = Bench::of(path).map(|bench| bench.tests);
        Report { file: path.display().to_string(), tests }
    }

    fn print(&self, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        let tests = match &self.tests {
            Ok(tests) => tests,
            Err(Unusable(problems)) => {
                return problems.iter().try_for_each(|problem| writeln!(err, "{problem}"));
            }
        };
        let failures: Vec<_> =
            tests.iter().filter_map(|test| Some((test, test.failure.as_ref()?))).collect();
        let passed = tests.len().saturating_sub(failures.len());
        writeln!(out, "{}: {passed} of {} passed", self.file, tests.len())?;
        for (test, failure) in failures {
            writeln!(out, "  FAILED {}", test.name)?;
            for line in failure.differences.iter().map(String::as_str) {
                writeln!(out, "    {line}")?;
            }
            for line in failure.explanation.lines() {
                writeln!(out, "      {line}")?;
            }
        }
        Ok(())
    }
}

/// A list: its method, what is expected of it, and what its entries are.
type Listed<'c> = (&'static str, &'c Entries, fn(String) -> Target);

/// A fixture that makes sense, and what becomes of its tests.
struct Bench {
    deployment: Deployment,
    parties: BTreeMap<String, Party>,
    now: SystemTime,
    tests: Vec<Test>,
}

impl Bench {
    fn of(path: &Path) -> Result<Self, Unusable> {
        let unusable = |problem: Problem| Unusable::problems(path, &[problem]);
        let fixture: Fixture = read_document(path)?;
        if fixture.cases.is_empty() && fixture.lists.is_empty() {
            return Err(Unusable::file(path, "has neither `cases` nor `lists`: it tests nothing"));
        }
        let now = now(fixture.now.as_deref()).map_err(|why| unusable(problem("now", why)))?;
        let config = path.parent().unwrap_or(Path::new("")).join(&fixture.config);
        let deployment = Deployment::load(&config)?;
        let mut parties = BTreeMap::new();
        for (name, caller) in fixture.callers {
            let party =
                caller.resolve(&format!("callers.{name}"), &deployment).map_err(unusable)?;
            parties.insert(name, party);
        }
        let mut bench = Bench { deployment, parties, now, tests: Vec::new() };
        for (index, case) in fixture.cases.into_iter().enumerate() {
            let test = bench.case(case, &format!("cases[{index}]")).map_err(unusable)?;
            bench.tests.push(test);
        }
        for (index, list) in fixture.lists.into_iter().enumerate() {
            let test = bench.list(list, &format!("lists[{index}]")).map_err(unusable)?;
            bench.tests.push(test);
        }
        Ok(bench)
    }

    fn case(&self, case: Case, path: &str) -> Result<Test, Problem> {
        let (server, party) = self.scene(case.server.as_deref(), &case.caller, path)?;
        let call = match case.r#do {
            Short::Text(text) => Call::parse(&text),
            Short::Whole(parts) => Call::new(parts),
        };
        let call = call.map_err(|why| problem(&format!("{path}.do"), why))?;
        let expected = match case.expect {
            Short::Text(text) => expectation(&text),
            Short::Whole(expected) => Ok(expected),
        };
        let expected = expected.map_err(|why| problem(&format!("{path}.expect"), why))?;
        if let Some(Short::Text(text)) = expected.exchange.as_ref()
            && text != NO_EXCHANGE
        {
            let why = format!("is `{NO_EXCHANGE}` or an object, not {text:?}");
            return Err(problem(&format!("{path}.expect.exchange"), why));
        }
        let answer = self.deployment.ask(server, party, &call, self.now);
        let differences = differences(&expected, &answer);
        let name = case.name.unwrap_or_else(|| {
            let outcome = match expected.outcome {
                Verdict::Allow => "allowed",
                Verdict::Deny => "denied",
            };
            format!("{}: {call} is {outcome}", case.caller)
        });
        let failure =
            (!differences.is_empty()).then(|| Failure { differences, explanation: answer.text() });
        Ok(Test { name, failure })
    }

    fn list(&self, case: ListCase, path: &str) -> Result<Test, Problem> {
        let (server, party) = self.scene(case.server.as_deref(), &case.caller, path)?;
        let kinds: [Listed<'_>; 4] = [
            ("tools/list", &case.tools, Target::Tool),
            ("prompts/list", &case.prompts, Target::Prompt),
            ("resources/list", &case.resources, Target::Resource),
            ("resources/templates/list", &case.resource_templates, Target::ResourceTemplate),
        ];
        let is_empty = |entries: &Entries| entries.shows.is_empty() && entries.hides.is_empty();
        if kinds.iter().all(|(_, entries, _)| is_empty(entries)) {
            return Err(problem(path, "names no entry of any list: it tests nothing".to_owned()));
        }
        let (mut differences, mut explanation) = (Vec::new(), String::new());
        for (method, entries, target) in kinds.into_iter().filter(|(_, e, _)| !is_empty(e)) {
            let call = Call::parse(method).map_err(|why| problem(path, why))?;
            let answer = self.deployment.ask(server, party, &call, self.now);
            let sees = |name: &String| {
                answer.response.is_none()
                    && self.deployment.shows(server, party, &target(name.clone()), self.now)
            };
            let before = differences.len();
            let missing = entries.shows.iter().filter(|name| !sees(name));
            differences.extend(missing.map(|name| format!("{method} does not show {name}")));
            let shown = entries.hides.iter().filter(|name| sees(name));
            differences.extend(shown.map(|name| format!("{method} shows {name}")));
            if differences.len() > before {
                // Writing to a String cannot fail.
                let _ = write!(explanation, "{method}\n{}", answer.text());
            }
        }
        let name = case.name.unwrap_or_else(|| format!("{}: lists", case.caller));
        let failure = (!differences.is_empty()).then_some(Failure { differences, explanation });
        Ok(Test { name, failure })
    }

    /// Who calls which server.
    fn scene(
        &self,
        server: Option<&str>,
        caller: &str,
        path: &str,
    ) -> Result<(&Server, &Party), Problem> {
        let server = self.deployment.server(server);
        let server = server.map_err(|why| problem(&format!("{path}.server"), why))?;
        let party = self.parties.get(caller).ok_or_else(|| {
            let known = self.parties.keys().map(String::as_str);
            problem(&format!("{path}.caller"), unknown("caller", caller, known))
        })?;
        Ok((server, party))
    }
}

fn problem(path: &str, message: String) -> Problem {
    Problem { path: path.to_owned(), message }
}

/// The expectation that one word stands for.
fn expectation(text: &str) -> Result<Expectation, String> {
    let outcome = match text {
        "allow" => Verdict::Allow,
        "deny" => Verdict::Deny,
        _ => return Err(format!("is `allow`, `deny` or an object, not \"{text}\"")),
    };
    Ok(Expectation {
        outcome,
        reason: None,
        side: None,
        mode: None,
        agent: None,
        policy: None,
        rules: None,
        scopes: None,
        status: None,
        challenge: None,
        candidate: None,
        exchange: None,
    })
}

/// What of an answer is not as expected, a line for each.
fn differences(expected: &Expectation, got: &Answer) -> Vec<String> {
    let set = |list: &Option<Vec<String>>| {
        list.as_ref().map(|list| list.iter().cloned().collect::<BTreeSet<_>>())
    };
    let expected_scopes = match &expected.exchange {
        Some(Short::Whole(exchange)) => set(&exchange.scopes),
        Some(Short::Text(_)) | None => None,
    };
    [
        difference("outcome", Some(expected.outcome), Some(got.outcome)),
        difference("reason", expected.reason.as_deref(), got.reason),
        difference("side", expected.side.as_deref(), got.side),
        difference("mode", expected.mode, got.mode),
        difference("agent", expected.agent.as_deref(), got.agent.as_deref()),
        difference("policy", expected.policy.as_deref(), got.policy.as_deref()),
        difference("rules", set(&expected.rules).as_ref(), Some(&got.rules)),
        difference("scopes", set(&expected.scopes).as_ref(), Some(&got.scopes)),
        difference("status", expected.status, got.response.as_ref().map(|reply| reply.status)),
        difference("challenge", expected.challenge.as_deref(), got.challenge()),
        difference(
            "candidate",
            expected.candidate,
            got.candidate.as_ref().map(|candidate| candidate.outcome),
        ),
        difference(
            "exchange",
            expected.exchange.as_ref().map(|exchange| match exchange {
                Short::Text(_) => None,
                Short::Whole(exchange) => Some(exchange.name.as_str()),
            }),
            Some(got.exchange.as_ref().map(|exchange| exchange.name.as_str())),
        ),
        difference(
            "exchange scopes",
            expected_scopes.as_ref(),
            got.exchange.as_ref().map(|exchange| &exchange.scopes),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn difference<T: PartialEq + Serialize>(
    member: &str,
    expected: Option<T>,
    got: Option<T>,
) -> Option<String> {
    let is_met = expected.is_none() || expected == got;
    let shown = |value: &Option<T>| serde_json::to_string(value).unwrap_or_default();
    (!is_met).then(|| format!("{member:<10} expected {}, got {}", shown(&expected), shown(&got)))
}
