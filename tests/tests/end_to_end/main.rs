//! Everything end to end, one file a subject: a real Envoy with the built filter, beside the built session service.

mod answers;
mod command_line;
mod cut_latency;
mod examples;
mod glewlwyd;
mod guarantee;
mod hostile;
mod introspection;
mod main_job;
mod manifests;
mod oauth_server;
mod outages;
mod policy;
mod replacement;
mod routes;
mod seen;
mod sessions;
mod streams;
mod tokens;
