//! The schema and the configurations of this repository.

use countersign::config::{Secrets, load, schema};
use countersign::gate::HostMode;
use serde_json::Value;

#[test]
fn the_checked_in_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/countersign.schema.json");
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == schema(),
        "stale; renew it: cargo run --bin countersign -- schema > schema/countersign.schema.json"
    );
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
    // Entra ID has no other type; its example says what follows from that.
    let odd = [("entra", "issuers.entra.token_types[0]")];
    let mut examples = Vec::new();
    for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let folder = folder.unwrap();
        let Ok(document) = std::fs::read(folder.path().join("config.json")) else { continue };
        let name = folder.file_name().into_string().unwrap();
        let loaded = load(&document, &Secrets::assumed()).unwrap();
        for warning in loaded.warnings {
            assert!(odd.contains(&(&name, &warning.path)), "{name}: {warning}");
        }
        examples.push(name);
    }
    examples.sort();
    assert_eq!(examples, ["dpop", "entra", "mtls-bound", "opaque-introspection", "rate-limits"]);
}

#[test]
fn the_conformance_run_has_a_valid_configuration() {
    let document = include_bytes!("../conformance/config.json");
    let loaded = load(document, &Secrets::assumed()).unwrap();
    assert_eq!((loaded.enforcement.servers.len(), loaded.warnings), (1, vec![]));
}

#[test]
fn the_reference_names_every_member() {
    let reference = include_str!("../../docs/configuration.md");
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let types = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let members = types.filter_map(|definition| definition["properties"].as_object());
    let missing: Vec<&String> = members
        .flat_map(|members| members.keys())
        .filter(|member| {
            !['`', '"', '.'].iter().any(|end| reference.contains(&format!("{member}{end}")))
        })
        .collect();
    assert_eq!(missing, [""; 0]);
}
