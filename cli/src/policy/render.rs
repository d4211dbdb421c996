//! `portcullis policy render`: renders a policy as a manifest that loads it.

mod args;
mod command;
mod envoy;
mod gateway;
mod istio;
mod names;
mod object;
mod place;
#[cfg(test)]
mod tests;

pub(super) use args::Args;
