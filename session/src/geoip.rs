//! The place of an address, by databases in the MaxMind DB format (`geoip` in session.yaml): GeoLite2 and GeoIP2 of MaxMind,
//! and those of DB-IP and IPinfo, which name things differently. A database that is replaced is read again while the service
//! runs. Addresses are looked up and forgotten.

mod database;
mod files;
mod keeper;
mod metrics;
#[cfg(test)]
pub(crate) mod mmdb;
mod record;

pub use files::GeoIp;
pub(crate) use keeper::keep;
pub(crate) use metrics::GeoIpMetrics;
