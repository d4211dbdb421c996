//! The kinds of streams, and the request that opens one.

use std::net::SocketAddr;

/// What is streamed, over which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A websocket over HTTP/1.1 (tokio-tungstenite). Silent until the client sends.
    WebSocket,
    /// A bidirectional gRPC stream (tonic). Silent until the client sends.
    Rpc,
    /// Server-sent events over HTTP/1.1 (hyper).
    EventsHttp1,
    /// Server-sent events over h2 (hyper).
    EventsHttp2,
    /// A download over HTTP/1.1 (hyper).
    DownloadHttp1,
    /// A download over h2 (hyper).
    DownloadHttp2,
    /// Server-sent events over HTTP/1.1: one event, then silence.
    QuietHttp1,
    /// Server-sent events over h2: one event, then silence.
    QuietHttp2,
}

impl Kind {
    /// Every kind on which the upstream sends, unasked or as an echo.
    pub const FLOWING: [Self; 6] =
        [Self::WebSocket, Self::Rpc, Self::EventsHttp1, Self::EventsHttp2, Self::DownloadHttp1, Self::DownloadHttp2];

    /// Every kind on which the upstream sends nothing unless the client does.
    pub const SILENT: [Self; 4] = [Self::WebSocket, Self::Rpc, Self::QuietHttp1, Self::QuietHttp2];

    /// Its path at the upstream.
    pub const fn path(self) -> &'static str {
        match self {
            Self::WebSocket => "/stream/socket",
            Self::Rpc => "/portcullis.tests.Echo/Talk",
            Self::EventsHttp1 | Self::EventsHttp2 => "/stream/events",
            Self::DownloadHttp1 | Self::DownloadHttp2 => "/stream/download",
            Self::QuietHttp1 | Self::QuietHttp2 => "/stream/quiet",
        }
    }

    /// Whether the upstream returns what the client sends.
    pub(super) const fn is_echoed(self) -> bool {
        matches!(self, Self::WebSocket | Self::Rpc)
    }
}

/// The request that opens a stream.
#[derive(Debug, Clone)]
pub(super) struct StreamRequest {
    pub(super) address: SocketAddr,
    pub(super) kind: Kind,
    pub(super) host: String,
    pub(super) path: String,
    /// Further headers, the token among them.
    pub(super) headers: Vec<(String, Vec<u8>)>,
}
