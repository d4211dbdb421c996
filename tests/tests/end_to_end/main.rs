//! The end-to-end tests, one file per subject: a real Envoy with the built filter and the built session service.

mod answers;
mod browser;
mod claims;
mod command_line;
mod cut_latency;
mod departures;
mod examples;
mod glewlwyd;
mod grpc_web;
mod guarantee;
mod half_open;
mod hostile;
mod introspection;
mod main_job;
mod manifests;
mod oauth_server;
mod observability;
mod outages;
mod policy;
mod refused_tokens;
mod replacement;
mod routes;
mod sessions;
mod streams;
mod token_places;
mod tokens;
