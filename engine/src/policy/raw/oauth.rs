//! The keys of `oauth`.

use crate::policy::deserialize::Given;
#[cfg(feature = "schema")]
use crate::policy::schema;
use serde::Deserialize;

/// The session service's token endpoint on the hosts of the policy.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "OAuth", transform = schema::oauth))]
#[serde(deny_unknown_fields, default)]
pub(in crate::policy) struct RawOAuth {
    /// The path under which `token` and `logout` are.
    #[cfg_attr(feature = "schema", schemars(with = "schema::RequestPath", extend("default" = "/oauth2")))]
    pub(in crate::policy) path: Given<String>,
    /// The Envoy cluster to which Envoy routes both.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Cluster"))]
    pub(in crate::policy) cluster: Given<String>,
}
