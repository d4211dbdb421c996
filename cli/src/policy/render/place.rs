//! The options that are not part of a policy: where the module is, and which traffic the filter is for.

use crate::error::Error;
use serde::Serialize;
use std::str::FromStr;

/// The group of the Gateway API.
pub(super) const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// The longest prefix, name and value of a label in Kubernetes, in bytes.
const LABEL_PREFIX_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The location of the wasm module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ModuleUrl {
    /// An OCI image, without its scheme.
    Image(String),
    /// `http://…` or `https://…`
    Http(String),
    /// `file://…`, in the file system of the proxy.
    File(String),
}

impl FromStr for ModuleUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a URL can only have printable ASCII characters".to_owned());
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("oci", text));
        if rest.is_empty() {
            return Err("the URL is empty after its scheme".to_owned());
        }
        match scheme {
            "oci" => Ok(Self::Image(rest.to_owned())),
            "http" | "https" => Ok(Self::Http(text.to_owned())),
            "file" => Ok(Self::File(text.to_owned())),
            _ => {
                Err("expected `oci://…`, `https://…`, `http://…`, `file://…`, or an image without a scheme".to_owned())
            }
        }
    }
}

/// A label that selects pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) key: String,
    pub(super) value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected `KEY=VALUE`")?;
        let (prefix, name) = key.rsplit_once('/').unwrap_or(("", key));
        if prefix.len() > LABEL_PREFIX_BYTES_MAX || (key.contains('/') && super::names::dns_name(prefix).is_err()) {
            return Err("the part of a label before the `/` must be a DNS name".to_owned());
        }
        if name.is_empty() || !is_word(name) || !is_word(value) {
            let fault =
                "a label can have at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";
            return Err(fault.to_owned());
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    bytes.len() <= LABEL_BYTES_MAX
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// The target that a manifest is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct TargetRef {
    group: &'static str,
    pub(super) kind: String,
    name: String,
}

impl FromStr for TargetRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').ok_or("expected `KIND/NAME`, such as `Gateway/orders`")?;
        super::names::dns_name(name)?;
        let group = match kind {
            "Gateway" | "GatewayClass" | "HTTPRoute" | "GRPCRoute" | "ListenerSet" => GATEWAY_GROUP,
            "Service" => "",
            "ServiceEntry" => "networking.istio.io",
            _ => {
                let kinds =
                    "`Gateway`, `GatewayClass`, `HTTPRoute`, `GRPCRoute`, `ListenerSet`, `Service`, `ServiceEntry`";
                return Err(format!("expected one of the kinds {kinds}"));
            }
        };
        Ok(Self { group, kind: kind.to_owned(), name: name.to_owned() })
    }
}

/// Rejects targets of kinds that the controller does not attach to.
pub(super) fn only(targets: &[TargetRef], kinds: &[&str], who: &str) -> Result<(), Error> {
    match targets.iter().find(|target| !kinds.contains(&&*target.kind)) {
        None => Ok(()),
        Some(target) => {
            let known: Vec<_> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
            Err(Error::invalid(format_args!("{who} only attaches to {}, not to `{}`", known.join(", "), target.kind)))
        }
    }
}
