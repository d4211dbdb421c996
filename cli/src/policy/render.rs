//! `portcullis policy render`: renders a policy as a manifest that loads it.

mod command;
mod envoy;
mod gateway;
mod istio;
mod object;
mod place;
#[cfg(test)]
mod tests;

pub(super) use command::Args;
