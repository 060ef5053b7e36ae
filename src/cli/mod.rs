//! The `countersign` command: what is done with a configuration before it ships.
//!
//! It runs the code of the filter and has no rules of its own. Nothing of it is in the module.

mod answer;
mod call;
mod caller;
mod check;
mod deployment;
mod explain;
mod files;
mod fixture;
mod junit;
mod reference;
mod test;
mod time;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use lexopt::{Arg, Parser, ValueExt as _};

use crate::config;

const HELP: &str = "\
Checks, explains and tests configurations of the Countersign filter.

Usage:
  countersign check [--environment] FILE...
      Compile configuration documents (JSON); `-` is standard input. Problems go to
      standard error, each with its place. With --environment, the secrets that the
      documents take from environment variables are read and checked too.
  countersign explain --config FILE --caller FILE --method METHOD [--name NAME]
                      [--server RESOURCE] [--revision REVISION] [--now TIME]
                      [--format text|json]
      Say what becomes of an operation, and why. The caller is a JSON object as in the
      fixtures of `test`: the name of its issuer, and the claims of its token. NAME is
      the tool, the prompt, the URI or the task.
  countersign test [--junit FILE] FILE|DIRECTORY...
      Run fixtures: callers, operations, and what is expected of them. In directories,
      these are the files *.test.json. With --junit, the results go to a file as well.
  countersign schema [--fixtures] [--format json|markdown]
      Print the JSON Schema of the configuration, or of fixtures; or a reference made
      from it.
  countersign --help
      Print this.

Exit status: 0 if all is well: the configurations are good, the operation is allowed,
the tests passed. 1 if not. 2 if the command was not understood; for `explain` and
`test` also if a file could not be used.
";

/// The command is not what was asked for, or something it needs is not there.
const UNUSABLE: u8 = 2;

/// Runs the command. `arguments` are those after its name.
///
/// # Errors
/// When the output cannot be written.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    match Command::parse(Parser::from_args(arguments)) {
        Ok(Command::Check { environment, files }) => check::run(&files, environment, out, err),
        Ok(Command::Explain(question)) => explain::run(&question, out, err),
        Ok(Command::Test { junit, paths }) => test::run(&paths, junit.as_deref(), out, err),
        Ok(Command::Schema { fixtures, format }) => {
            let (schema, title) = if fixtures {
                (fixture::schema(), "Fixture reference")
            } else {
                (config::schema(), "Configuration reference")
            };
            match format {
                SchemaFormat::Json => write!(out, "{schema}")?,
                SchemaFormat::Markdown => write!(out, "{}", reference::of(&schema, title))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Ok(Command::Help) => {
            write!(out, "{HELP}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            write!(err, "countersign: {error}\n\n{HELP}")?;
            Ok(ExitCode::from(UNUSABLE))
        }
    }
}

enum Command {
    Check { environment: bool, files: Vec<OsString> },
    Explain(explain::Question),
    Test { junit: Option<OsString>, paths: Vec<OsString> },
    Schema { fixtures: bool, format: SchemaFormat },
    Help,
}

#[derive(Clone, Copy)]
enum SchemaFormat {
    Json,
    Markdown,
}

impl Command {
    fn parse(mut parser: Parser) -> Result<Self, lexopt::Error> {
        let name = match parser.next()? {
            Some(Arg::Value(name)) => name.string()?,
            Some(Arg::Long("help") | Arg::Short('h')) => "help".to_owned(),
            Some(argument) => return Err(argument.unexpected()),
            None => return Err("a command is needed".into()),
        };
        match name.as_str() {
            "check" => Command::parse_check(parser),
            "explain" => Command::parse_explain(parser),
            "test" => Command::parse_test(parser),
            "schema" => Command::parse_schema(parser),
            "help" => match parser.next()? {
                None => Ok(Command::Help),
                Some(argument) => Err(argument.unexpected()),
            },
            other => Err(format!("no command is named `{other}`").into()),
        }
    }

    fn parse_check(mut parser: Parser) -> Result<Self, lexopt::Error> {
        let (mut environment, mut files) = (false, Vec::new());
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("environment") => environment = true,
                Arg::Value(file) => files.push(file),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Command::Check { environment, files: needed(files, "a file to check")? })
    }

    fn parse_explain(mut parser: Parser) -> Result<Self, lexopt::Error> {
        let mut question = explain::Question::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("config") => question.config = parser.value()?,
                Arg::Long("caller") => question.caller = parser.value()?,
                Arg::Long("server") => question.server = Some(parser.value()?.string()?),
                Arg::Long("method") => question.method = parser.value()?.string()?,
                Arg::Long("name") => question.name = Some(parser.value()?.string()?),
                Arg::Long("revision") => question.revision = Some(parser.value()?.string()?),
                Arg::Long("now") => question.now = Some(parser.value()?.string()?),
                Arg::Long("format") => {
                    question.as_json = parser.value()?.parse_with(|format| match format {
                        "text" => Ok(false),
                        "json" => Ok(true),
                        _ => Err("text or json"),
                    })?;
                }
                other => return Err(other.unexpected()),
            }
        }
        for (option, is_missing) in [
            ("--config", question.config.is_empty()),
            ("--caller", question.caller.is_empty()),
            ("--method", question.method.is_empty()),
        ] {
            if is_missing {
                return Err(format!("{option} is needed").into());
            }
        }
        Ok(Command::Explain(question))
    }

    fn parse_test(mut parser: Parser) -> Result<Self, lexopt::Error> {
        let (mut junit, mut paths) = (None, Vec::new());
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("junit") => junit = Some(parser.value()?),
                Arg::Value(path) => paths.push(path),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Command::Test { junit, paths: needed(paths, "a fixture, or a folder of them,")? })
    }

    fn parse_schema(mut parser: Parser) -> Result<Self, lexopt::Error> {
        let (mut fixtures, mut format) = (false, SchemaFormat::Json);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("fixtures") => fixtures = true,
                Arg::Long("format") => {
                    format = parser.value()?.parse_with(|format| match format {
                        "json" => Ok(SchemaFormat::Json),
                        "markdown" => Ok(SchemaFormat::Markdown),
                        _ => Err("json or markdown"),
                    })?;
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(Command::Schema { fixtures, format })
    }
}

fn needed(files: Vec<OsString>, what: &str) -> Result<Vec<OsString>, lexopt::Error> {
    if files.is_empty() { Err(format!("{what} is needed").into()) } else { Ok(files) }
}
