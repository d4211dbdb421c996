//! What conditions are asked about: a route, what belongs to a session until it changes, and what belongs to one question.

use std::{collections::BTreeMap, net::IpAddr};

/// A route of a filter's policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// `class`; empty if the policy names none.
    pub class: String,
    /// `tags`
    pub tags: Vec<String>,
    /// The scopes that it can require.
    pub scopes: Vec<String>,
    /// The policy's scope sets that its `require` names.
    pub sets: Vec<String>,
}

/// What is known of a session until its generation changes: login, grants, attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// The public id.
    pub id: String,
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `client_id`
    pub client: String,
    /// The groups that its token names.
    pub groups: Vec<String>,
    /// The access type.
    pub access: String,
    /// The scopes that it has now, granted ones included.
    pub scopes: Vec<String>,
    /// When it was opened, in milliseconds since 1970.
    pub opened_at_ms: u64,
    /// When somebody logged in last, in milliseconds since 1970.
    pub login_at_ms: u64,
    /// When the first of its grants ends, in milliseconds since 1970.
    pub granted_until_ms: Option<u64>,
    /// The authentication context of its login.
    pub acr: Option<String>,
    /// How somebody authenticated (RFC 8176).
    pub amr: Vec<String>,
    /// The attribute `risk`, of the session or its subject.
    pub risk: Option<String>,
    /// Whether it is somewhere that its subject has not been before.
    pub new_place: bool,
    /// The device, if one is known.
    pub device: Option<Device>,
    /// The session's own attributes, by name.
    pub attributes: BTreeMap<String, String>,
    /// The subject's attributes, by name.
    pub subject_attributes: BTreeMap<String, String>,
}

/// A device, and what is stated about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// Whether it complies.
    pub compliant: Option<bool>,
    /// Whether it is managed.
    pub managed: Option<bool>,
    /// Its operating system.
    pub os: Option<String>,
    /// Who stated this.
    pub source: Option<String>,
}

/// What belongs to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
    /// The method.
    pub method: String,
    /// The host, in lower case and without port.
    pub host: String,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The client's place.
    pub place: Option<Place>,
    /// What the request itself says, by name: headers that the policy names, `client_certificate`. A session's own attribute of
    /// the same name wins.
    pub attributes: BTreeMap<String, String>,
}

/// Where a client is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2, in upper case.
    pub country: Option<String>,
    /// The number of its network (autonomous system).
    pub asn: Option<u32>,
    /// Whether it is an anonymizing proxy.
    pub proxy: Option<bool>,
}
