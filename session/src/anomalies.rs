//! Anomalies: what is unusual about where the requests of a session come from (`anomalies` in session.yaml). Each becomes an
//! attribute of the session with an end, an event, and a count; what follows from it is for the conditions to say. None ends
//! anything.
//!
//! A question only notes what it shows of its client (`Watch`), in memory and bounded; a task of its own writes what was
//! found (`keep`). So no verdict waits for an anomaly, and one counts from the next question on. Addresses are only kept as
//! keyed hashes, for minutes. Of a subject, the countries of its logins are remembered as an attribute, so that every replica
//! knows them and a restart forgets none.

mod countries;
mod detector;
mod keeper;
mod kind;
mod metrics;
mod recent;
mod settings;
mod trail;
mod watch;

pub(crate) use keeper::keep;
pub(crate) use kind::SOURCE;
pub(crate) use metrics::AnomalyMetrics;
pub use settings::{Crowd, Settings, Travel};
pub(crate) use watch::{Memo, Watch};
