//! The `countersign` command.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    // When nobody reads the output, there is nobody to tell.
    countersign::cli::run(arguments, &mut io::stdout().lock(), &mut io::stderr().lock())
        .unwrap_or(ExitCode::FAILURE)
}
