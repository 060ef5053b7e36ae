//! Results of tests as JUnit XML, in the form that Jenkins and GitLab read.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::files::Unusable;
use super::test::{Failure, Report, Test};

/// Writes the results.
///
/// # Errors
/// When they cannot be written.
pub(super) fn write(reports: &[Report], out: impl Write) -> io::Result<()> {
    let mut writer = Writer::new_with_indent(out, b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").write_inner_content(|writer| {
        reports.iter().try_for_each(|report| suite(writer, report))
    })?;
    writeln!(writer.get_mut())
}

fn suite(writer: &mut Writer<impl Write>, report: &Report) -> io::Result<()> {
    let (tests, failures, errors) = match &report.tests {
        Ok(tests) => (tests.len(), tests.iter().filter(|test| test.failure.is_some()).count(), 0),
        Err(_) => (1, 0, 1),
    };
    let file = xml_text(&report.file);
    writer
        .create_element("testsuite")
        .with_attribute(("name", file.as_str()))
        .with_attribute(("tests", tests.to_string().as_str()))
        .with_attribute(("failures", failures.to_string().as_str()))
        .with_attribute(("errors", errors.to_string().as_str()))
        .write_inner_content(|writer| match &report.tests {
            Ok(tests) => tests.iter().try_for_each(|test| case(writer, &file, test)),
            Err(Unusable(problems)) => {
                let text = problems.join("\n");
                outcome(writer, &file, "fixture", Some(("error", "could not be used", &text)))
            }
        })?;
    Ok(())
}

fn case(writer: &mut Writer<impl Write>, file: &str, test: &Test) -> io::Result<()> {
    let Some(Failure { differences, explanation }) = &test.failure else {
        return outcome(writer, file, &test.name, None);
    };
    let text = format!("{}\n\n{explanation}", differences.join("\n"));
    outcome(writer, file, &test.name, Some(("failure", &differences.join("; "), &text)))
}

/// A test: the file it is of, its name, and how it failed (element, message, text).
fn outcome(
    writer: &mut Writer<impl Write>,
    file: &str,
    name: &str,
    fault: Option<(&str, &str, &str)>,
) -> io::Result<()> {
    let name = xml_text(name);
    let element = writer
        .create_element("testcase")
        .with_attribute(("classname", file))
        .with_attribute(("name", name.as_str()))
        .with_attribute(("file", file));
    let Some((fault, message, text)) = fault else {
        element.write_empty()?;
        return Ok(());
    };
    element.write_inner_content(|writer| {
        writer
            .create_element(fault)
            .with_attribute(("message", xml_text(message).as_str()))
            .write_text_content(BytesText::new(&xml_text(text)))?;
        Ok(())
    })?;
    Ok(())
}

/// The text without characters that no XML 1.0 document has, not even escaped (section 2.2).
fn xml_text(text: &str) -> String {
    let is_char = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..);
    text.chars().map(|c| if is_char(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}
