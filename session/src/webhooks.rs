//! Webhooks: messages to other systems about requests for access and checkpoints of the audit log, signed as Standard Webhooks
//! says, with a text that Slack shows as it is. What is not delivered is in the requests themselves (`notices`).

mod checkpoints;
mod endpoint;
mod keep;
mod message;
mod metrics;
mod remind;
mod settings;
mod signature;

pub(crate) use checkpoints::{AUDIT_CHECKPOINT, Stuck};
pub(crate) use endpoint::Webhooks;
pub(crate) use keep::{expect, keep};
pub(crate) use metrics::{Became, WebhookMetrics};
pub use settings::WebhookSettings;
pub(crate) use signature::Key;

/// What comes before the name of an event in the type of a message.
pub(crate) const TYPE_PREFIX: &str = "portcullis.";
