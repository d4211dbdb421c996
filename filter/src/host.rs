//! The one room where proxy-wasm is called: it turns Envoy's callbacks into events of the gate, and carries out the steps
//! and acts that come back.

mod calls;
mod http;
mod metrics;
mod root;
mod worker;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|context_id| Box::new(root::Root::new(context_id)));
}}
