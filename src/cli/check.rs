//! `countersign check`: whether configurations are good.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::files::read;
use crate::config::{self, Secrets};

/// Compiles the documents.
pub(super) fn run(
    files: &[OsString],
    environment: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<ExitCode> {
    let secrets = if environment { Secrets::from_environment() } else { Secrets::assumed() };
    let mut code = ExitCode::SUCCESS;
    for file in files {
        let name = Path::new(file).display();
        let loaded = match read(file) {
            Ok(document) => config::load(&document, &secrets),
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
