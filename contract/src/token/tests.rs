//! What the token room promises, exercised with real tokens.

mod algorithms;
mod claims;
mod dpop;
mod forgeries;
mod headers;
mod host;
mod introspected;
mod key_sets;
mod mutations;
mod ring;
mod rings;
mod statements;
mod world;
mod wycheproof;
