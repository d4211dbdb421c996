//! The session service, and what happens without a verdict.

use super::ROOT;
use crate::{
    policy::{
        Client, Freshness, Introspection, Outage, Protocol, SessionService,
        deserialize::Given,
        duration::{duration_within, limit},
        fault::{About, Faults, Wrong},
        freshness,
        json_path::At,
        raw::{RawAttributes, RawClient, RawCredential, RawFreshness, RawOutage, RawPlace, RawSession},
        text::{plain, quoted, visible},
    },
    route::Host,
};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_millis(200);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

const LEASE: Duration = Duration::from_secs(2);
const LEASE_MIN: Duration = Duration::from_millis(500);
const LEASE_MAX: Duration = Duration::from_secs(60);

/// The `session` part of a policy.
pub(super) struct GivenSession {
    pub(super) service: SessionService,
    pub(super) outage: Outage,
    pub(super) freshness: Freshness,
}

/// The protocols by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Stream,
    Introspection,
}

pub(super) fn session(raw: Given<RawSession>, faults: &mut Faults) -> Option<Option<GivenSession>> {
    raw.or(None, |raw| given(raw, faults).map(Some))
}

/// Whether the policy asks an introspection endpoint, even if other keys of its session are faulty.
pub(super) fn is_endpoint(raw: &Given<RawSession>) -> bool {
    let Given::Value(raw) = raw else { return false };
    matches!(&raw.protocol, Given::Value(text) if matches!(protocol(text), Ok(Name::Introspection)))
}

/// Takes out the parts that are about facts for conditions.
pub(super) fn take_facts(raw: &mut Given<RawSession>) -> (Given<RawAttributes>, Given<RawPlace>) {
    match raw {
        Given::Value(raw) => (std::mem::take(&mut raw.attributes), std::mem::take(&mut raw.place)),
        Given::Absent | Given::Faulty => (Given::Absent, Given::Absent),
    }
}

fn given(raw: RawSession, faults: &mut Faults) -> Option<GivenSession> {
    let at = ROOT.key("session");
    let cluster = cluster(raw.cluster, &at.key("cluster"), faults);
    let name = raw.protocol.or(Name::Stream, |text| faults.check(&at.key("protocol"), protocol(&text)));
    let timeout = raw
        .timeout
        .or(TIMEOUT, |text| faults.check(&at.key("timeout"), duration_within(&text, TIMEOUT_MIN, TIMEOUT_MAX)));
    let outage = outage(raw.on_outage, Outage::default(), &at.key("on_outage"), faults);
    let is_endpoint = name == Some(Name::Introspection);
    let freshness = freshness(raw.freshness, Freshness::default(), is_endpoint, &at.key("freshness"), faults);
    let both = !raw.credential.is_absent() && !raw.client.is_absent();
    let credential_env = raw.credential.or(None, |raw| environment(raw, &at.key("credential"), faults).map(Some));
    let protocol = match name {
        Some(Name::Introspection) => {
            if both {
                faults.add(&at, "specify either `credential` or `client`, not both");
            }
            if !raw.stream_lease.is_absent() {
                let message = "an introspection endpoint has no stream; omit this key, or use `protocol: stream`";
                faults.add(&at.key("stream_lease"), message);
            }
            let endpoint = introspection(raw.path, raw.authority, raw.client, cluster.as_deref(), &at, faults);
            endpoint.map(Protocol::Introspection)
        }
        Some(Name::Stream) => {
            let given = [("path", raw.path.is_absent()), ("authority", raw.authority.is_absent())];
            for (key, is_absent) in given.into_iter().chain([("client", raw.client.is_absent())]) {
                if !is_absent {
                    let message = "the check stream does not use this; omit it, or use `protocol: introspection`";
                    faults.add(&at.key(key), message);
                }
            }
            let lease = raw
                .stream_lease
                .or(LEASE, |text| faults.check(&at.key("stream_lease"), duration_within(&text, LEASE_MIN, LEASE_MAX)));
            lease.map(|lease| Protocol::Stream { lease })
        }
        None => None,
    };
    Some(GivenSession {
        service: SessionService {
            cluster: cluster?,
            timeout: timeout?,
            credential_env: credential_env?,
            protocol: protocol?,
        },
        outage: outage?,
        freshness: freshness?,
    })
}

/// The maximum length of a cluster's name: see `grpc_service` in the filter's host calls.
const CLUSTER_BYTES_MAX: usize = 125;

/// The name of an Envoy cluster.
pub(super) fn cluster(name: Given<String>, at: &At<'_>, faults: &mut Faults) -> Option<String> {
    let name = name.required(at, faults)?;
    if name.len() > CLUSTER_BYTES_MAX {
        faults.add(at, format!("must not be longer than {CLUSTER_BYTES_MAX} bytes"));
        return None;
    }
    faults.check(at, visible(&name))
}

fn protocol(text: &str) -> Result<Name, String> {
    match text {
        "stream" => Ok(Name::Stream),
        "introspection" => Ok(Name::Introspection),
        "authzen" => Err(format!("`{text}` is not supported yet; use `stream` or `introspection`")),
        _ => Err(format!("unknown value {}; expected one of `stream`, `introspection`", quoted(text))),
    }
}

fn introspection(
    raw_path: Given<String>,
    raw_authority: Given<String>,
    raw_client: Given<RawClient>,
    cluster: Option<&str>,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<Introspection> {
    let path = raw_path.required(&at.key("path"), faults);
    let path = path.and_then(|text| faults.check(&at.key("path"), path_of(&text)));
    let authority = match raw_authority {
        Given::Absent => cluster.and_then(|name| authority_of(name, &at.key("authority"), faults)),
        Given::Faulty => None,
        Given::Value(text) => faults.check(&at.key("authority"), authority(&text)),
    };
    let client = raw_client.or(None, |raw| client(raw, &at.key("client"), faults).map(Some));
    Some(Introspection { path: path?, authority: authority?, client: client? })
}

fn path_of(text: &str) -> Result<String, String> {
    let text = visible(text)?;
    if !text.starts_with('/') {
        Err(format!("{} does not start with `/`; put the host in `authority`", quoted(&text)))
    } else if text.contains('#') {
        Err(format!("{} contains a fragment, which is never sent", quoted(&text)))
    } else {
        Ok(text)
    }
}

fn authority(text: &str) -> Result<String, String> {
    let text = visible(text)?;
    if text.contains('@') {
        // The text is not quoted: user information can contain a password.
        Err("the authority must not contain user information".to_owned())
    } else if Host::parse(text.as_bytes()).is_none() {
        Err(format!("{} is not a host, with or without a port", quoted(&text)))
    } else {
        Ok(text)
    }
}

/// The authority defaults to the cluster's name, but a name need not be a host: Istio's look like
/// `outbound|443||id.example.com`.
fn authority_of(cluster: &str, at: &At<'_>, faults: &mut Faults) -> Option<String> {
    if Host::parse(cluster.as_bytes()).is_none() {
        let message = format_args!("this key is required; the cluster's name, {}, is not a host", quoted(cluster));
        faults.add(at, Wrong::from(message).about(About::MissingKey));
        return None;
    }
    Some(cluster.to_owned())
}

fn client(raw: RawClient, at: &At<'_>, faults: &mut Faults) -> Option<Client> {
    let id = raw.id.required(&at.key("id"), faults);
    let id = id.and_then(|text| faults.check(&at.key("id"), plain(&text)));
    let secret = raw.secret.required(&at.key("secret"), faults);
    let secret_env = secret.and_then(|raw| environment(raw, &at.key("secret"), faults));
    Some(Client { id: id?, secret_env: secret_env? })
}

/// The name of an environment variable of the VM.
fn environment(raw: RawCredential, at: &At<'_>, faults: &mut Faults) -> Option<String> {
    let at = at.key("env");
    let name = raw.env.required(&at, faults)?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        // The text is not quoted: it can be the credential itself.
        faults.add(&at, "expected the name of an environment variable: letters, digits and `_`");
        return None;
    }
    Some(name)
}

/// What happens without a verdict.
pub(super) fn outage(raw: Given<RawOutage>, default: Outage, at: &At<'_>, faults: &mut Faults) -> Option<Outage> {
    raw.or(default, |raw| match raw {
        RawOutage::Deny => Some(Outage::Deny),
        RawOutage::ReadOnly => Some(Outage::ReadOnly),
        RawOutage::Grace(text) => {
            let at = at.key("grace");
            let text = text.required(&at, faults)?;
            faults.check(&at, limit(&text)).map(Outage::Grace)
        }
    })
}

/// Whether each request is asked about. An introspection endpoint cannot take a lease back.
pub(super) fn freshness(
    raw: Given<RawFreshness>,
    default: Freshness,
    is_endpoint: bool,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<Freshness> {
    raw.or(default, |raw| match raw {
        RawFreshness::EachRequest => Some(Freshness::EachRequest),
        RawFreshness::Lease(_) if is_endpoint => {
            let message = "an introspection endpoint gives no leases, because it cannot take them back; omit this key, or use `protocol: stream`";
            faults.add(at, message);
            None
        }
        RawFreshness::Lease(text) => {
            let at = at.key("lease");
            let text = text.required(&at, faults)?;
            let lease = duration_within(&text, freshness::LEASE_MIN, freshness::LEASE_MAX);
            faults.check(&at, lease).map(Freshness::Lease)
        }
    })
}
