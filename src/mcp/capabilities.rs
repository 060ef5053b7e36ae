//! Making honest what a server says it can do.
//!
//! A client offers its user, or its model, what the server announces, so it must not be
//! told of what policy refuses to everybody. This protects nothing: what is refused is
//! refused whether it is announced or not, and announcements name no object. So a shape
//! that is not understood passes, for the client to judge.

use super::headers::SUPPORTED_VERSIONS;
use super::list::{Feature, View};
use super::rewrite::{Edit, MemberEdit};
use crate::json::{Object, Value};

/// A member that announces something by being there.
struct Announcement {
    member: &'static str,
    /// What it announces; `None` when only what is in it does.
    feature: Option<Feature>,
    within: &'static [Announcement],
}

impl Announcement {
    const fn of(member: &'static str, feature: Feature) -> Self {
        Announcement { member, feature: Some(feature), within: &[] }
    }

    const fn within(member: &'static str, within: &'static [Announcement]) -> Self {
        Announcement { member, feature: None, within }
    }
}

/// `ServerCapabilities` of all revisions, as far as policy has a say.
const CAPABILITIES: &[Announcement] = &[
    Announcement::of("tools", Feature::Tools),
    Announcement::of("prompts", Feature::Prompts),
    Announcement::of("resources", Feature::Resources),
    Announcement::of("completions", Feature::Completions),
    Announcement::of("logging", Feature::Logging),
    // 2025-11-25 only.
    Announcement {
        member: "tasks",
        feature: Some(Feature::Tasks),
        within: &[
            Announcement::of("list", Feature::TasksList),
            Announcement::of("cancel", Feature::TasksCancel),
            Announcement::within(
                "requests",
                &[Announcement::within("tools", &[Announcement::of("call", Feature::Tools)])],
            ),
        ],
    },
    // SEP-2663.
    Announcement::within(
        "extensions",
        &[Announcement::of("io.modelcontextprotocol/tasks", Feature::Tasks)],
    ),
];

/// What changes in the result of `initialize` or `server/discover`.
///
/// `supportedVersions` (`server/discover`) keeps those that are read here. All of this is
/// alike for every caller, so how the result may be cached stays the server's word.
pub(super) fn edits(result: &Object<'_>, view: &dyn View) -> Vec<MemberEdit> {
    let mut edits = Vec::new();
    if let Some(capabilities) = result.get("capabilities").and_then(Value::as_object) {
        let unoffered = unoffered(capabilities, CAPABILITIES, view);
        if !unoffered.is_empty() {
            edits.push(("capabilities", Some(Edit::Members(unoffered))));
        }
    }
    if let Some(versions) = result.get("supportedVersions").and_then(Value::as_array) {
        let is_read = |version: &Value<'_>| {
            version.as_str().is_some_and(|version| SUPPORTED_VERSIONS.contains(&version))
        };
        let keep: Vec<bool> = versions.iter().map(is_read).collect();
        if keep.contains(&false) {
            edits.push(("supportedVersions", Some(Edit::Retain(keep))));
        }
    }
    edits
}

fn unoffered(
    object: &Object<'_>,
    announcements: &[Announcement],
    view: &dyn View,
) -> Vec<MemberEdit> {
    let mut edits = Vec::new();
    for announcement in announcements {
        let Some(value) = object.get(announcement.member) else { continue };
        if announcement.feature.is_some_and(|feature| !view.offers(feature)) {
            edits.push((announcement.member, None));
        } else if let Some(object) = value.as_object() {
            let within = unoffered(object, announcement.within, view);
            if !within.is_empty() {
                edits.push((announcement.member, Some(Edit::Members(within))));
            }
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::list::{Asked, Expected, Filtered, ListError, filter_answer};
    use super::super::message::Id;
    use super::super::operation::Target;
    use super::*;

    const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2099-01-01","capabilities":{"experimental":{"tools":{}},"tools":{"listChanged":true},"vendor":{ "x":1.0 },"prompts":{},"resources":{"subscribe":true},"completions":{},"logging":{},"tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}},"x":{}}},"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{}}},"instructions":"tools"}}"#;

    /// A server that offers all but these.
    struct Without<'f>(&'f [Feature]);

    impl View for Without<'_> {
        fn permits(&self, _target: &Target) -> bool {
            false
        }

        fn offers(&self, feature: Feature) -> bool {
            !self.0.contains(&feature)
        }

        fn token_life(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// The answer as it leaves.
    fn answer(body: &str, without: &[Feature]) -> Result<String, ListError> {
        let expected = Expected::For { asked: Asked::Capabilities, id: &Id::Integer(1) };
        filter_answer(body.as_bytes(), expected, &Without(without)).map(|filtered| match filtered {
            Filtered::Unchanged => body.to_owned(),
            Filtered::Changed(changed) => String::from_utf8_lossy(&changed).into_owned(),
        })
    }

    fn without(parts: &[&str]) -> String {
        parts.iter().fold(INITIALIZED.to_owned(), |answer, part| {
            assert!(answer.contains(part), "{part}");
            answer.replacen(part, "", 1)
        })
    }

    #[test]
    fn what_is_offered_to_nobody_is_not_announced() {
        let tools = r#""tools":{"listChanged":true},"#;
        let tasks = r#""tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{}},"x":{}}},"#;
        let extension = r#""io.modelcontextprotocol/tasks":{},"#;
        for (features, gone) in [
            (vec![], vec![]),
            (vec![Feature::Tools], vec![tools, r#""call":{}"#]),
            (vec![Feature::Prompts], vec![r#""prompts":{},"#]),
            (vec![Feature::Resources], vec![r#""resources":{"subscribe":true},"#]),
            (vec![Feature::Completions], vec![r#""completions":{},"#]),
            (vec![Feature::Logging], vec![r#""logging":{},"#]),
            (vec![Feature::Tasks], vec![tasks, extension]),
            (vec![Feature::TasksList], vec![r#""list":{},"#]),
            (vec![Feature::TasksCancel], vec![r#""cancel":{},"#]),
            (vec![Feature::Tools, Feature::Tasks], vec![tools, tasks, extension]),
        ] {
            assert_eq!(answer(INITIALIZED, &features), Ok(without(&gone)), "{features:?}");
        }
    }

    #[test]
    fn versions_that_are_not_read_here_are_not_announced() {
        let discovered = |versions: &str| {
            format!(
                r#"{{"id":1,"result":{{"supportedVersions":[{versions}],"capabilities":{{}},"ttlMs":9,"cacheScope":"public"}}}}"#
            )
        };
        let mixed = discovered(r#""2099-01-01","2026-07-28", 7,"draft","2025-11-25""#);
        let read = discovered(r#""2026-07-28","2025-11-25""#);
        assert_eq!(answer(&mixed, &[]).as_ref(), Ok(&read));
        assert_eq!(answer(&read, &[]).as_ref(), Ok(&read));
        assert_eq!(answer(&discovered(r#""2099-01-01""#), &[]), Ok(discovered("")));
    }

    #[test]
    fn shapes_that_announce_nothing_pass() {
        for body in [
            r#"{"id":1,"result":{}}"#,
            r#"{"id":1,"result":null}"#,
            r#"{"id":1,"result":{"capabilities":null,"supportedVersions":"2099-01-01"}}"#,
            r#"{"id":1,"result":{"capabilities":["tools"],"supportedVersions":{}}}"#,
            r#"{"id":1,"result":{"capabilities":{"tasks":[],"extensions":"x"}}}"#,
            r#"{"id":1,"error":{"code":-32022,"message":"no","data":{"capabilities":{}}}}"#,
            r#"{"method":"notifications/message","params":{"capabilities":{"tools":{}}}}"#,
        ] {
            assert_eq!(answer(body, &[Feature::Tools]).as_deref(), Ok(body), "{body}");
        }
        let null = r#"{"id":1,"result":{"capabilities":{"tools":null,"tasks":{"requests":{"tools":{"call":null}}}}}}"#;
        let gone = r#"{"id":1,"result":{"capabilities":{"tasks":{"requests":{"tools":{}}}}}}"#;
        assert_eq!(answer(null, &[Feature::Tools]).as_deref(), Ok(gone));
    }

    #[test]
    fn ghsa_345p_a_list_in_such_an_answer_is_filtered_too() {
        let body =
            r#"{"id":1,"result":{"capabilities":{"tools":{}},"tools":[{"name":"x"}],"ttlMs":9}}"#;
        let cut = r#"{"id":1,"result":{"capabilities":{},"tools":[],"ttlMs":0}}"#;
        assert_eq!(answer(body, &[Feature::Tools]).as_deref(), Ok(cut));
        let other = r#"{"id":2,"result":{"capabilities":{}}}"#;
        assert_eq!(answer(other, &[]), Err(ListError::WrongId));
    }
}
