//! A filter that does nothing: what any wasm filter costs. Natively it is empty, as the filter's host room is.

#[cfg(target_arch = "wasm32")]
mod noop;
