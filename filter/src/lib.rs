//! The proxy-wasm module: the only crate that calls Envoy.
//!
//! It turns Envoy's callbacks into events for the engine's gate, and carries out the resulting steps and acts. Every
//! decision is made in `portcullis_engine`.
//!
//! - `root` is the root context of a worker: it loads the policy and owns every call that outlives a request;
//! - `history` remembers which policy was in force before;
//! - `http` is the context of a request;
//! - `worker` is the state that both share, and carries out steps;
//! - `envoy` contains the host calls, `metrics` the counters and gauges, `troubles` what the log says of servers that fail.

#![expect(missing_docs, reason = "the SDK's macro exports `_initialize` without any")]

mod envoy;
mod history;
mod http;
mod metrics;
mod root;
mod troubles;
mod worker;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|context_id| Box::new(root::Root::new(context_id)));
}}
