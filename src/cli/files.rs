//! Reading files, and finding fixtures.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::config::{self, Problem};

/// How fixtures are named.
const FIXTURE: &str = ".test.json";

/// What keeps the command from an answer: lines that each begin with a place.
#[derive(Debug)]
pub(super) struct Unusable(pub(super) Vec<String>);

impl Unusable {
    /// A file that is of no use, for one reason.
    pub(super) fn file(path: &Path, why: impl Display) -> Self {
        Unusable(vec![format!("{}: {why}", path.display())])
    }

    /// A file with problems.
    pub(super) fn problems(path: &Path, problems: &[Problem]) -> Self {
        Unusable(problems.iter().map(|why| format!("{}: {why}", path.display())).collect())
    }
}

/// Reads no more than is taken, and one byte that shows there was more. `-` is standard input.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(file: &OsStr) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> =
        if file == "-" { Box::new(io::stdin()) } else { Box::new(File::open(file)?) };
    let limit = u64::try_from(config::MAX_DOCUMENT).unwrap_or(u64::MAX).saturating_add(1);
    let mut document = Vec::new();
    source.take(limit).read_to_end(&mut document)?;
    Ok(document)
}

/// Reads a document as strictly as a configuration.
///
/// # Errors
/// [`Unusable`], saying where it does not fit.
pub(super) fn read_document<T: DeserializeOwned>(path: &Path) -> Result<T, Unusable> {
    let json = read(path.as_os_str()).map_err(|error| Unusable::file(path, error))?;
    config::read_document(&json).map_err(|error| Unusable::problems(path, &error.problems))
}

/// The fixtures at a path, which is one or a folder of them at any depth, in the order of
/// their names.
///
/// # Errors
/// [`Unusable`] when a folder cannot be read or has none: tests that are not there pass
/// whatever happens.
pub(super) fn fixtures(path: &Path) -> Result<Vec<PathBuf>, Unusable> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    collect(path, &mut found).map_err(|error| Unusable::file(path, error))?;
    if found.is_empty() {
        return Err(Unusable::file(path, format!("has no files *{FIXTURE}")));
    }
    found.sort();
    Ok(found)
}

/// Goes through a folder, but not through what is hidden, installed (`node_modules`) or linked.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let name = name.to_string_lossy();
        if kind.is_dir() && !name.starts_with('.') && name != "node_modules" {
            collect(&entry.path(), found)?;
        } else if kind.is_file() && name.ends_with(FIXTURE) {
            found.push(entry.path());
        }
    }
    Ok(())
}
