//! The listeners: connections over HTTP/1.1 and HTTP/2, with TLS or without, on threads of their own.

mod serve;
mod silent;
mod threads;
mod tls;

pub(crate) use serve::{Peer, PeerCertificate, Served, serve};
pub(crate) use threads::ConnectionThreads;
pub(crate) use tls::Tls;
