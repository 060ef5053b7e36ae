//! The way to a claim, through nested objects.

use crate::json::{Object, Value};

/// A way through the claims of a token: names of members, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// The top-level claim of that name, whatever characters it has.
    #[must_use]
    pub fn name(name: String) -> Self {
        ClaimPath(vec![name])
    }

    /// The member of that name in the member before it, and so on.
    #[must_use]
    pub fn nested(names: Vec<String>) -> Self {
        ClaimPath(names)
    }

    /// What the path leads to. An array on the way stands for each of its members.
    pub(super) fn resolve<'c, 'a>(&self, claims: &'c Object<'a>) -> Vec<&'c Value<'a>> {
        let Some((first, rest)) = self.0.split_first() else { return Vec::new() };
        let start = claims.get(first).into_iter().collect();
        rest.iter().fold(start, |found: Vec<&Value<'a>>, name| {
            found
                .into_iter()
                .flat_map(|value| match value {
                    Value::Array(members) => members.as_slice(),
                    value => std::slice::from_ref(value),
                })
                .filter_map(|value| value.as_object()?.get(name))
                .collect()
        })
    }
}
