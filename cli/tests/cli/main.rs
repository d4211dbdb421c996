//! The command-line tool from outside: its commands as a shell runs them, and `policy diff` against the filter's decisions.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in test code a panic is how a test fails"
)]

mod access;
mod admin_api;
mod attributes;
mod audit;
mod chart;
mod commands;
mod conditions;
mod diff;
mod diff_property;
mod documentation;
mod embedded;
mod examples;
mod explain_keys;
mod fake_api;
mod golden;
mod held_signals;
mod help;
mod kinds;
mod kubernetes;
mod lists;
mod openapi_commands;
mod openapi_documents;
mod reference;
mod render;
mod schema;
mod session_lists;
mod test_and_explain;
mod texts;
mod three_commands;
mod tool;
mod usage;
