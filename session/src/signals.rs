//! Signals: what identity providers know, received as security event tokens (RFC 8417), logout tokens (OpenID Connect
//! Back-Channel Logout 1.0) and global token revocations, and put into effect before it is acknowledged.
//!
//! A signal becomes what an operator could have done: a revocation, a block, a narrowing, an attribute. Its receipt and its effects
//! are one commit, and its answer waits for every replica, as for any other change.

mod action;
mod answer;
mod carry_out;
mod client_credentials;
mod effects;
mod event;
mod global;
mod keeper;
mod keys;
mod logout;
mod order;
mod outbound;
mod pace;
mod parties;
mod poll;
mod push;
mod router;
mod status;
mod stream;
mod subject;
mod transmitter;

pub(crate) use action::{Action, Actions};
pub(crate) use answer::errs;
pub(crate) use carry_out::{drop_held, release};
pub(crate) use client_credentials::ClientCredentials;
pub(crate) use keeper::keep;
pub(crate) use keys::{KeySettings, Keys, KeysAt, Unverified};
pub(crate) use order::{Deed, Order};
pub(crate) use outbound::{Caller as Outbound, Headed, Url, on_a_thread, trusted};
pub(crate) use poll::poll;
pub(crate) use router::router;
pub(crate) use status::{Fate, StatusView};
pub(crate) use stream::{Command, Delivery, Manage, NotDone, command, manage};
pub(crate) use subject::is_name as is_party_name;
pub(crate) use transmitter::{Kind, Polling, Profile, Signed, Transmitter, TransmitterSettings};
