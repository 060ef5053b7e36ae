//! The reference of a document, made from its JSON Schema and so from its types.

use std::fmt::Write as _;

use serde_json::Value;

/// The reference of the documents that a schema of ours describes, in Markdown: the document,
/// then the types of its objects in the order in which they are first named, then those of
/// its values.
pub(super) fn of(schema: &str, title: &str) -> String {
    let root: Value = serde_json::from_str(schema).unwrap_or_default();
    let types = root.get("$defs").unwrap_or(&Value::Null);
    let mut names = Vec::new();
    find(&root, types, &mut names);
    let types = names.iter().filter_map(|name| Some((name, types.get(name)?)));
    let (objects, values): (Vec<_>, Vec<_>) =
        types.partition(|(_, schema)| schema.get("properties").is_some());
    let owners: Vec<_> = std::iter::once(("The document".to_owned(), &root))
        .chain(objects.iter().map(|(name, schema)| (heading(name), *schema)))
        .collect();
    let mut page = format!("# {title}\n\n{NOTE}\n\n## The document\n\n");
    section(&mut page, &root);
    for (name, schema) in objects.iter().chain(&values) {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {}\n\n{}", heading(name), uses(name, &owners));
        section(&mut page, schema);
    }
    page
}

const NOTE: &str = "\
Made by `countersign schema --format markdown` from the types that documents are read into.
A member that is not here is an error. One without a default may be left out, unless it is
**required**.";

/// Notes the types that a schema names, each before those that it names itself.
fn find(schema: &Value, types: &Value, names: &mut Vec<String>) {
    let mut named = Vec::new();
    collect_references(schema, &mut named);
    for name in named {
        if !names.contains(&name) {
            names.push(name.clone());
            find(types.get(&name).unwrap_or(&Value::Null), types, names);
        }
    }
}

/// The types that a schema names, in the order of its members.
fn collect_references(schema: &Value, found: &mut Vec<String>) {
    found.extend(reference(schema).map(str::to_owned));
    for (_, member) in members(schema) {
        collect_references(member, found);
    }
    let parts = ["items", "additionalProperties"].iter().filter_map(|word| schema.get(word));
    parts.chain(alternatives(schema)).for_each(|part| collect_references(part, found));
}

/// The members that are of a type, with whose they are.
fn uses(name: &str, owners: &[(String, &Value)]) -> String {
    let mut uses = Vec::new();
    for (owner, schema) in owners {
        let named = members(schema).filter(|(_, member)| {
            let mut found = Vec::new();
            collect_references(member, &mut found);
            found.iter().any(|found| found == name)
        });
        let named: Vec<String> = named.map(|(member, _)| format!("`{member}`")).collect();
        if !named.is_empty() {
            uses.push(format!("{} of {}", named.join(", "), link(owner)));
        }
    }
    format!("*{}*\n\n", uses.join("; "))
}

/// What a type is: its description, its members or values, its examples.
fn section(page: &mut String, schema: &Value) {
    let _ = writeln!(page, "{}", prose(text(schema, "description")));
    if schema.get("properties").is_some() {
        choices(page, schema);
        table(page, schema);
        return;
    }
    let constants = alternatives(schema).filter_map(|value| Some((value.get("const")?, value)));
    let constants: Vec<_> = constants.collect();
    if constants.is_empty() {
        let _ = writeln!(page, "\nWritten as: {}.", kind(schema));
    } else {
        page.push_str("\n| Value | Meaning |\n|---|---|\n");
        for (constant, value) in constants {
            let meaning = cell(text(value, "description"));
            let _ = writeln!(page, "| {} | {meaning} |", code(constant));
        }
    }
    if let Some(examples) = examples(schema) {
        let _ = writeln!(page, "\n{examples}.");
    }
}

/// Which members go together, where there is a choice.
fn choices(page: &mut String, schema: &Value) {
    let choices: Vec<String> = alternatives(schema)
        .filter_map(|choice| {
            let members = choice.get("required")?.as_array()?;
            Some(members.iter().map(code).collect::<Vec<_>>().join(" and "))
        })
        .collect();
    if !choices.is_empty() {
        let _ = writeln!(page, "\nNeeds {}.", choices.join(", or "));
    }
}

/// What each member is.
fn table(page: &mut String, schema: &Value) {
    page.push_str("\n| Member | Type | Default | Meaning |\n|---|---|---|---|\n");
    for (name, member) in members(schema) {
        let default = match member.get("default") {
            _ if is_required(schema, name) => "**required**".to_owned(),
            Some(default) => code(default),
            None => String::new(),
        };
        let mut meaning = cell(text(member, "description"));
        if let Some(examples) = examples(member) {
            let _ = write!(meaning, " {}", cell(&format!("{examples}.")));
        }
        let kind = cell(&kind(member));
        let _ = writeln!(page, "| `{name}` | {kind} | {} | {meaning} |", cell(&default));
    }
}

/// What is written for a value of the schema.
fn kind(schema: &Value) -> String {
    if let Some(name) = reference(schema) {
        return link(&heading(name));
    }
    let kinds: Vec<String> = alternatives(schema).map(kind).filter(|kind| kind != "null").collect();
    if !kinds.is_empty() {
        return kinds.join(", or ");
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find(|kind| *kind != "null"),
        kind => kind,
    };
    match kind.and_then(Value::as_str) {
        Some("array") => {
            let entry = schema.get("items").map_or_else(|| "anything".to_owned(), self::kind);
            let least = schema.get("minItems").map_or("", |_| ", at least one");
            format!("list of {}{least}", plural(&entry))
        }
        Some("object") => match schema.get("additionalProperties") {
            Some(Value::Object(_)) => {
                let entry = schema.get("additionalProperties").map(self::kind).unwrap_or_default();
                let least = schema.get("minProperties").map_or("", |_| ", at least one");
                format!("{} by name{least}", plural(&entry))
            }
            _ => "object".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        Some(other) => format!("{other}{}", bounds(schema)),
        None => "anything".to_owned(),
    }
}

/// The numbers that are taken.
fn bounds(schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    }
}

fn plural(kind: &str) -> String {
    if kind.starts_with('[') || kind.contains(' ') { kind.to_owned() } else { format!("{kind}s") }
}

/// The members of an object, those that are required first.
fn members(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let members = schema.get("properties").and_then(Value::as_object);
    let members = members.into_iter().flatten().filter(|(name, _)| *name != "$schema");
    let (first, rest): (Vec<_>, Vec<_>) = members.partition(|(name, _)| is_required(schema, name));
    first.into_iter().chain(rest)
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|other| other == name))
}

/// What a value may be instead.
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    let words = ["anyOf", "oneOf"].into_iter().filter_map(|word| schema.get(word)?.as_array());
    words.flatten()
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// A link to a section.
fn link(heading: &str) -> String {
    format!("[{heading}](#{})", heading.to_lowercase().replace(' ', "-"))
}

/// The name of a type in words: `ToolRule` is `Tool rule`.
fn heading(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_uppercase() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

fn examples(schema: &Value) -> Option<String> {
    let examples = schema.get("examples")?.as_array()?;
    let word = if examples.len() > 1 { "Examples" } else { "Example" };
    let examples: Vec<String> = examples.iter().map(code).collect();
    Some(format!("{word}: {}", examples.join(", ")))
}

/// A value as it is written; a string without its quotes.
fn code(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => format!("`{text}`"),
        value => format!("`{value}`"),
    }
}

fn text<'s>(schema: &'s Value, member: &str) -> &'s str {
    schema.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Paragraphs, each on one line.
fn prose(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// A text for one cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
