//! Changing a JSON document without writing anew what stays.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// What changes in a JSON value. All else keeps its bytes and its order; only the space
/// around the members and elements of what changes is lost.
#[derive(Debug)]
pub(super) enum Edit {
    /// This JSON text takes its place.
    Replace(String),
    /// Of the array, these elements stay.
    Retain(Vec<bool>),
    /// These members of the object change.
    Members(Vec<MemberEdit>),
}

/// The member of this name changes, or goes with `None`.
pub(super) type MemberEdit = (&'static str, Option<Edit>);

impl Edit {
    /// The JSON text after the change. Names must be unique, so the strict reader has to
    /// have seen the document before.
    ///
    /// # Errors
    /// When the text is no JSON of the shape that the change is for.
    pub(super) fn apply(&self, json: &str) -> serde_json::Result<Box<RawValue>> {
        match self {
            Edit::Replace(text) => RawValue::from_string(text.clone()),
            Edit::Retain(keep) => {
                let elements: Vec<&RawValue> = serde_json::from_str(json)?;
                let kept = elements.into_iter().zip(keep);
                let kept = kept.filter_map(|(element, keep)| keep.then_some(element));
                to_raw_value(&kept.collect::<Vec<_>>())
            }
            Edit::Members(edits) => {
                let mut object: RawObject<'_> = serde_json::from_str(json)?;
                for (name, edit) in edits {
                    match edit {
                        None => object.0.retain(|(n, _)| n != name),
                        Some(edit) => object.edit(name, edit)?,
                    }
                }
                to_raw_value(&object)
            }
        }
    }
}

/// An object with its members in order and their values as they stand.
struct RawObject<'a>(Vec<(String, Cow<'a, RawValue>)>);

impl RawObject<'_> {
    /// Changes a member, if there is one.
    fn edit(&mut self, name: &str, edit: &Edit) -> serde_json::Result<()> {
        if let Some((_, value)) = self.0.iter_mut().find(|(n, _)| n == name) {
            *value = Cow::Owned(edit.apply(value.get())?);
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<_, &RawValue>()? {
                    members.push((name, Cow::Borrowed(value)));
                }
                Ok(RawObject(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

impl Serialize for RawObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may panic")]

    use super::*;

    #[test]
    fn what_stays_keeps_its_bytes() {
        let edit = Edit::Members(vec![
            ("b", Some(Edit::Retain(vec![false, true]))),
            ("c", None),
            ("d", Some(Edit::Members(vec![("e", Some(Edit::Replace("1".into())))]))),
            ("absent", Some(Edit::Retain(Vec::new()))),
            ("gone", None),
        ]);
        let json =
            r#" {"a" : [ 1.0, "\u0061" ],"d":{"x":0.10,"e":[]},"c":{},"b":[ 1, { "y":2 } ]}"#;
        let edited = r#"{"a":[ 1.0, "\u0061" ],"d":{"x":0.10,"e":1},"b":[{ "y":2 }]}"#;
        assert_eq!(edit.apply(json).unwrap().get(), edited);
    }

    #[test]
    fn another_shape_is_an_error() {
        for json in ["[]", r#"{"b":{}}"#, r#"{"b":1}"#, "{", ""] {
            let edit = Edit::Members(vec![("b", Some(Edit::Retain(Vec::new())))]);
            assert!(edit.apply(json).is_err(), "{json}");
        }
        assert!(Edit::Replace("{".into()).apply("1").is_err());
    }
}
