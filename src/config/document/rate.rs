//! Rates: how often something may be done.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::policy::RateKey;

/// How often something may be done: a token bucket, shared by the workers of a proxy.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    /// So many calls in a second, minute, hour or day: `10/s`, `60/m`, `1000/h`, `5000/d`.
    #[schemars(regex(pattern = "^[1-9][0-9]*/[smhd]$"), extend("examples" = ["60/m"]))]
    pub(crate) limit: String,
    /// Most calls at once. Default: as many as in the period.
    #[schemars(range(min = 1))]
    pub(crate) burst: Option<u32>,
    /// What calls are told apart by, each with a bucket of its own. Without it, all of them
    /// share one.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub(crate) by: Vec<RateKey>,
}
