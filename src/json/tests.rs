#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests may panic and report")]

mod generated;

use super::*;

fn refused(document: &str) -> JsonError {
    read(document.as_bytes()).unwrap_err()
}

#[test]
fn reads_values_in_order() {
    let value = read(br#" {"b":[1,-2,2.5,true,null],"a":"\u0041\ud83d\ude00"} "#).unwrap();
    let object = value.as_object().unwrap();
    let names: Vec<&str> = object.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(object.get("a").and_then(Value::as_str), Some("A\u{1f600}"));
    assert_eq!(object.get("b").and_then(Value::as_array).map(<[_]>::len), Some(5));
}

#[test]
fn ghsa_4gph_duplicate_names_are_refused_at_any_depth() {
    for document in [
        r#"{"name":1,"name":1}"#,
        r#"{"name":1,"n\u0061me":2}"#,
        r#"[{"a":[{"b":{},"\u0062":{}}]}]"#,
    ] {
        assert_eq!(refused(document), JsonError::DuplicateName, "{document}");
    }
    assert!(read(br#"[{"a":{"a":1}},{"a":2}]"#).is_ok(), "same name in different objects");
    assert!(read(br#"{"a":1,"A":2}"#).is_ok(), "case is the business of who knows the names");
}

#[test]
fn duplicates_are_found_in_large_objects() {
    let members: Vec<String> = (0..1000).map(|n| format!(r#""m{n}":{n}"#)).collect();
    let unique = members.join(",");
    assert!(read(format!("{{{unique}}}").as_bytes()).is_ok());
    for again in ["m0", "m47", "m48", "m49", "m999"] {
        let document = format!(r#"{{{unique},"{again}":0}}"#);
        assert_eq!(refused(&document), JsonError::DuplicateName, "{again}");
    }
}

/// Compared one by one, these members would take a minute.
#[test]
#[expect(clippy::disallowed_methods, reason = "the cost itself is tested")]
fn many_members_cost_linear_time() {
    let members: Vec<String> = (0..100_000).map(|n| format!(r#""{n:x}":0"#)).collect();
    let document = format!("{{{}}}", members.join(","));
    let started = std::time::Instant::now();
    assert_eq!(read(document.as_bytes()).unwrap().as_object().map(Object::len), Some(100_000));
    assert_eq!(read_levels(document.as_bytes(), 0), Ok(Value::Skipped));
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn what_is_below_the_levels_is_checked_and_not_kept() {
    let document = r#"{"a":1,"b":[2,{"c":3}],"d":{"e":"f"}}"#;
    let levels = |levels| read_levels(document.as_bytes(), levels).unwrap();
    assert_eq!(levels(0), Value::Skipped);
    let one = levels(1);
    let member = |name| one.as_object().and_then(|object| object.get(name));
    assert_eq!(member("a"), Some(&Value::Number(1.into())));
    assert_eq!((member("b"), member("d")), (Some(&Value::Skipped), Some(&Value::Skipped)));
    let two = levels(2);
    let b = two.as_object().and_then(|object| object.get("b")).unwrap();
    assert_eq!(b.as_array(), Some(&[Value::Number(2.into()), Value::Skipped][..]));
    assert_eq!(levels(3), read(document.as_bytes()).unwrap());
    for refused in ["[1e999]", "[{\"a\":1,\"a\":1}]", "[\"\\ud800\"]", "[{\"\\u0000\":1}]"] {
        assert!(read_levels(refused.as_bytes(), 0).is_err(), "{refused}");
    }
}

#[test]
fn ghsa_q382_nul_in_a_name_is_refused() {
    assert_eq!(refused(r#"{"name\u0000":1}"#), JsonError::NulInName);
    assert_eq!(refused(r#"{"a":[{"\u0000":1}]}"#), JsonError::NulInName);
    assert!(read(br#"{"name":"\u0000"}"#).is_ok(), "a value may contain it");
}

#[test]
fn rfc_8259_section_8_1_encodings_are_refused() {
    assert_eq!(refused("\u{feff}{}"), JsonError::ByteOrderMark);
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(read(&utf16).is_err());
    let marked = [&[0xff, 0xfe], utf16.as_slice()].concat();
    assert_eq!(read(&marked), Err(JsonError::NotUtf8));
    assert_eq!(read(b"{\"a\":\"\xff\"}"), Err(JsonError::NotUtf8));
    assert_eq!(read(b"\"\xed\xa0\x80\""), Err(JsonError::NotUtf8), "an encoded surrogate");
}

#[test]
fn what_other_parsers_read_differently_is_refused() {
    for document in [
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#"{"\ud800":1}"#,
        "NaN",
        "[Infinity]",
        "1e400",
        "[1,]",
        "{}{}",
        "{} x",
        "",
        "// comment\n{}",
        "'a'",
        "01",
    ] {
        assert_eq!(refused(document), JsonError::Syntax, "{document}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(nested(MAX_DEPTH).as_bytes()).is_ok());
    assert_eq!(refused(&nested(65)), JsonError::TooDeep);
    assert_eq!(refused(&"{\"a\":".repeat(20_000)), JsonError::TooDeep);
}

/// nst/JSONTestSuite, from `$VECTORS/json-test-suite`: `y_` must be read, `n_` must
/// be refused, `i_` must not panic.
#[test]
fn json_test_suite() {
    const STRICTER: [&str; 3] = [
        "y_object_duplicated_key.json",
        "y_object_duplicated_key_and_value.json",
        "y_object_escaped_null_in_key.json",
    ];
    let given = std::env::var("VECTORS").ok();
    let vectors = given
        .clone()
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors").into());
    let folder = std::path::Path::new(&vectors).join("json-test-suite/test_parsing");
    let Ok(files) = std::fs::read_dir(&folder) else {
        assert_eq!(given, None, "{} is absent", folder.display());
        println!("JSONTestSuite: not run, {} is absent", folder.display());
        return;
    };
    let mut ran = 0_u32;
    for file in files {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let accepted = read(&std::fs::read(&path).unwrap()).is_ok();
        match name.get(..2) {
            Some("y_") => assert_eq!(accepted, !STRICTER.contains(&name.as_str()), "{name}"),
            Some("n_") => assert!(!accepted, "{name}"),
            _ => {}
        }
        ran = ran.saturating_add(1);
    }
    assert!(ran > 300, "only {ran} documents in {}", folder.display());
    println!("JSONTestSuite: {ran} documents ran");
}
