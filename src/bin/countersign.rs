//! The `countersign` command: what operators do with a configuration before they ship it.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use countersign::config::{self, Secrets};

const HELP: &str = "\
Checks configurations of the Countersign filter.

Usage:
  countersign check [--environment] FILE...
      Compile configuration documents (JSON); `-` is standard input. Problems go to
      standard error, each with its place. With --environment, the secrets that the
      documents take from environment variables are read and checked too.
  countersign schema
      Print the JSON Schema of the document.
  countersign --help
      Print this.

Exit status: 0 if all is well, 1 if a configuration was refused or could not be read,
2 if the command was not understood.
";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments, &mut io::stdout().lock(), &mut io::stderr().lock()) {
        Ok(code) => code,
        // Nobody reads the output, so there is nobody to tell.
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(arguments: &[OsString], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<ExitCode> {
    let mut words = arguments.iter().map(|argument| argument.to_str().unwrap_or_default());
    match (words.next(), arguments.get(1..).unwrap_or_default()) {
        (Some("check"), [flag, files @ ..]) if flag == "--environment" && are_files(files) => {
            check(files, &Secrets::from_environment(), out, err)
        }
        (Some("check"), files) if are_files(files) => check(files, &Secrets::assumed(), out, err),
        (Some("schema"), []) => {
            write!(out, "{}", config::schema())?;
            Ok(ExitCode::SUCCESS)
        }
        (Some("--help" | "-h" | "help"), []) => {
            write!(out, "{HELP}")?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            write!(err, "{HELP}")?;
            Ok(ExitCode::from(2))
        }
    }
}

/// Whether there are files and no flags among them.
fn are_files(arguments: &[OsString]) -> bool {
    let is_flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"--");
    !arguments.is_empty() && !arguments.iter().any(is_flag)
}

fn check(
    files: &[OsString],
    secrets: &Secrets,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        let name = Path::new(file).display();
        let loaded = match read(file) {
            Ok(document) => config::load(&document, secrets),
            Err(error) => {
                writeln!(err, "{name}: {error}")?;
                code = ExitCode::FAILURE;
                continue;
            }
        };
        match loaded {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    writeln!(err, "{name}: warning: {warning}")?;
                }
                let issuers = loaded.issuers.len();
                let servers = loaded.enforcement.servers.len();
                let version = loaded.version;
                write!(
                    out,
                    "{name}: ok (issuers: {issuers}, servers: {servers}, version {version})"
                )?;
                if secrets.are_assumed() && !loaded.variables.is_empty() {
                    let variables: Vec<_> = loaded.variables.iter().map(String::as_str).collect();
                    write!(out, "; not checked: the values of {}", variables.join(", "))?;
                }
                writeln!(out)?;
            }
            Err(error) => {
                for problem in &error.problems {
                    writeln!(err, "{name}: {problem}")?;
                }
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Reads no more than is taken, and one byte that shows there was more.
fn read(file: &OsString) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(std::fs::File::open(file)?),
    };
    let limit = u64::try_from(config::MAX_DOCUMENT).unwrap_or(u64::MAX).saturating_add(1);
    let mut document = Vec::new();
    source.take(limit).read_to_end(&mut document)?;
    Ok(document)
}
