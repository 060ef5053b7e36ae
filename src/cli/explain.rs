//! `countersign explain`: what becomes of an operation, and why.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::UNUSABLE;
use super::answer::{Answer, Verdict};
use super::call::{Call, CallParts};
use super::caller::Caller;
use super::deployment::Deployment;
use super::files::{Unusable, read_document};
use super::time::now;

/// What is asked.
#[derive(Default)]
pub(super) struct Question {
    pub(super) config: OsString,
    pub(super) caller: OsString,
    pub(super) server: Option<String>,
    pub(super) method: String,
    pub(super) name: Option<String>,
    pub(super) revision: Option<String>,
    pub(super) now: Option<String>,
    pub(super) as_json: bool,
}

/// Answers the question.
pub(super) fn run(
    question: &Question,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    let answer = match answer(question) {
        Ok(answer) => answer,
        Err(Unusable(problems)) => {
            for problem in problems {
                writeln!(err, "{problem}")?;
            }
            return Ok(ExitCode::from(UNUSABLE));
        }
    };
    if question.as_json {
        serde_json::to_writer_pretty(&mut *out, &answer)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", answer.text())?;
    }
    Ok(match answer.outcome {
        Verdict::Allow => ExitCode::SUCCESS,
        Verdict::Deny => ExitCode::FAILURE,
    })
}

fn answer(question: &Question) -> Result<Answer, Unusable> {
    let option = |name: &str, why: String| Unusable(vec![format!("--{name}: {why}")]);
    let now = now(question.now.as_deref()).map_err(|why| option("now", why))?;
    let call = Call::new(CallParts {
        method: question.method.clone(),
        name: question.name.clone(),
        params: None,
        revision: question.revision.clone(),
    });
    let call = call.map_err(|why| option("method", why))?;
    let deployment = Deployment::load(Path::new(&question.config))?;
    let server = deployment.server(question.server.as_deref());
    let server = server.map_err(|why| option("server", why))?;
    let path = Path::new(&question.caller);
    let caller: Caller = read_document(path)?;
    let party =
        caller.resolve("", &deployment).map_err(|problem| Unusable::problems(path, &[problem]))?;
    Ok(deployment.ask(server, &party, &call, now))
}
