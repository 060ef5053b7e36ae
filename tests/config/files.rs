//! The schema and the configurations of this repository.

use countersign::config::{Secrets, load, schema};
use countersign::gate::HostMode;
use serde_json::Value;

use crate::support::countersign;

/// What is made by the command, and how.
const GENERATED: [(&str, &[&str]); 4] = [
    ("schema/countersign.schema.json", &["schema"]),
    ("schema/countersign.test.schema.json", &["schema", "--fixtures"]),
    ("docs/reference.md", &["schema", "--format", "markdown"]),
    ("docs/fixtures.md", &["schema", "--fixtures", "--format", "markdown"]),
];

#[test]
fn what_is_generated_is_current() {
    for (path, arguments) in GENERATED {
        let (_, current, _) = countersign(arguments, "");
        let checked_in = read(path);
        assert!(checked_in == current, "{path} is stale; renew it: make schema");
    }
}

#[test]
fn the_reference_has_every_member() {
    let reference = read("docs/reference.md");
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let types = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let members = types.filter_map(|definition| definition["properties"].as_object());
    let rows = |member: &String| reference.matches(&format!("\n| `{member}` | ")).count();
    for member in members.clone().flat_map(|members| members.keys()) {
        let types = members.clone().filter(|members| members.contains_key(member)).count();
        assert!(rows(member) >= types, "{member}");
    }
}

/// GitHub's anchors: headings in lowercase, without punctuation, with `-` for spaces.
#[test]
fn links_between_documents_lead_somewhere() {
    let is_kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    let anchor = |heading: &str| {
        heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-")
    };
    let names = |folder: &str| {
        let path = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
        let names = std::fs::read_dir(path).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap())
    };
    let docs = names("docs").map(|name| format!("docs/{name}"));
    let examples = names("examples").map(|name| format!("examples/{name}/README.md"));
    let top = ["README.md", "DESIGN.md"].map(str::to_owned);
    let mut links = 0;
    for file in top.into_iter().chain(docs).chain(examples) {
        let folder = file.rsplit_once('/').map_or(".", |(folder, _)| folder);
        let text = read(&file);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") {
                continue;
            }
            links += 1;
            let target = if path.is_empty() { file.clone() } else { format!("{folder}/{path}") };
            let headings = || {
                let text = read(&target);
                let headings = text.lines().filter(|line| line.starts_with('#'));
                headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect::<Vec<_>>()
            };
            let leads = if fragment.is_empty() {
                std::fs::exists(format!("{}/{target}", env!("CARGO_MANIFEST_DIR"))).unwrap()
            } else {
                headings().contains(&fragment.to_owned())
            };
            assert!(leads, "{file}: {link}");
        }
    }
    assert!(links > 100, "{links}");
}

#[test]
fn the_bootstraps_carry_valid_configurations() {
    for (file, mode) in [("hold", HostMode::Hold), ("stream", HostMode::Stream)] {
        let path = format!("{}/envoy/envoy.{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let yaml = std::fs::read_to_string(path).unwrap();
        let (_, block) = yaml.split_once("value: |\n").unwrap();
        let indent = block.split_once('{').unwrap().0;
        let document: Vec<&str> = block.lines().map_while(|l| l.strip_prefix(indent)).collect();
        let loaded = load(document.join("\n").as_bytes(), &Secrets::assumed()).unwrap();
        assert_eq!((loaded.enforcement.host_mode, loaded.warnings), (mode, vec![]), "{file}");
    }
}

#[test]
fn the_readmes_example_is_valid() {
    let readme = include_str!("../../README.md");
    let (_, block) = readme.split_once("```jsonc\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    // A comment is two slashes after a blank; those of a URL follow a colon.
    let lines = block.lines().map(|line| line.split_once(" // ").map_or(line, |(json, _)| json));
    let loaded =
        load(lines.collect::<Vec<_>>().join("\n").as_bytes(), &Secrets::assumed()).unwrap();
    assert_eq!((loaded.issuers.len(), loaded.enforcement.servers.len()), (1, 1));
    assert_eq!(loaded.warnings, vec![]);
}

#[test]
fn the_examples_are_valid() {
    // Entra ID has no other type; its examples say what follows from that.
    let odd =
        [("entra", "issuers.entra.token_types[0]"), ("entra-obo", "issuers.entra.token_types[0]")];
    let mut examples = Vec::new();
    for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let folder = folder.unwrap();
        let Ok(document) = std::fs::read(folder.path().join("config.json")) else { continue };
        let name = folder.file_name().into_string().unwrap();
        let loaded = load(&document, &Secrets::assumed()).unwrap();
        for warning in loaded.warnings {
            assert!(odd.contains(&(&name, &warning.path)), "{name}: {warning}");
        }
        let fixtures = folder.path().display().to_string();
        let (code, out, err) = countersign(&["test", &fixtures], "");
        assert_eq!((code, err.as_str()), (Some(0), ""), "{name}: {out}");
        examples.push(name);
    }
    examples.sort();
    let expected = [
        "agent-catalogue",
        "dpop",
        "entra",
        "entra-obo",
        "hybrid",
        "identity-chaining",
        "mtls-bound",
        "multi-tenant",
        "on-behalf-of",
        "opaque-introspection",
        "rate-limits",
        "roles-table",
        "rollout",
        "service-token",
        "step-up",
        "token-exchange",
        "token-vault",
        "workload-identity",
    ];
    assert_eq!(examples, expected);
}

#[test]
fn the_conformance_run_has_a_valid_configuration() {
    let document = include_bytes!("../conformance/config.json");
    let loaded = load(document, &Secrets::assumed()).unwrap();
    assert_eq!((loaded.enforcement.servers.len(), loaded.warnings), (1, vec![]));
}

fn read(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap_or_default()
}
