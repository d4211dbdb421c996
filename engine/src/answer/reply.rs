//! The form in which a caller understands a refusal: HTTP, gRPC or gRPC-Web.

use super::{Answer, CONTENT_TYPE, GrpcStatus};
use base64::{Engine, engine::general_purpose::STANDARD};

/// What a caller understands, judged by its `content-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Caller {
    /// HTTP.
    #[default]
    Http,
    /// gRPC, or gRPC-Web behind Envoy's `grpc_web` filter, which turns requests into gRPC.
    Grpc,
    /// gRPC-Web that nobody has translated.
    GrpcWeb(WebEncoding),
}

/// The encoding of a gRPC-Web body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebEncoding {
    /// `application/grpc-web`
    Binary,
    /// `application/grpc-web-text`: base64.
    Text,
}

/// A refusal in the form that its caller understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The gRPC status, for a gRPC caller.
    pub grpc: Option<GrpcStatus>,
    /// All response headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The flag of a gRPC-Web frame that contains trailers.
const TRAILERS: u8 = 0x80;

impl Caller {
    /// Reads `content-type`. gRPC is exactly what Envoy treats as such; gRPC-Web what its `grpc_web` filter does.
    pub fn of(content_type: &[u8]) -> Self {
        match content_type {
            b"application/grpc-web" | b"application/grpc-web+proto" => Self::GrpcWeb(WebEncoding::Binary),
            b"application/grpc-web-text" | b"application/grpc-web-text+proto" => Self::GrpcWeb(WebEncoding::Text),
            _ => match content_type.strip_prefix(b"application/grpc") {
                Some([] | [b'+', ..]) => Self::Grpc,
                _ => Self::Http,
            },
        }
    }
}

impl Answer {
    /// The answer in the form that `caller` understands.
    pub fn reply(&self, caller: Caller) -> Reply {
        let mut headers = self.headers.clone();
        let status = (self.grpc as u8).to_string();
        match caller {
            Caller::Http => {
                headers.push(("content-type", CONTENT_TYPE.to_owned()));
                Reply { status: self.status, grpc: None, headers, body: self.body.clone() }
            }
            // All of it is in the headers, and there is no body: a caller behind the `grpc_web` filter looks like any
            // other, but Envoy does not take its answer for gRPC. It would get a body as a message, and with it the
            // status `UNKNOWN`.
            Caller::Grpc => {
                headers.extend([("grpc-status", status), ("grpc-message", self.message.clone())]);
                Reply { status: 200, grpc: Some(self.grpc), headers, body: Vec::new() }
            }
            Caller::GrpcWeb(encoding) => {
                let frame = trailers(&format!("grpc-status:{status}\r\ngrpc-message:{}\r\n", self.message));
                let (content_type, body) = match encoding {
                    WebEncoding::Binary => ("application/grpc-web+proto", frame),
                    WebEncoding::Text => ("application/grpc-web-text+proto", STANDARD.encode(frame).into_bytes()),
                };
                headers.push(("content-type", content_type.to_owned()));
                Reply { status: 200, grpc: None, headers, body }
            }
        }
    }
}

/// A frame of trailers: flag, length, text.
fn trailers(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&[TRAILERS], &length.to_be_bytes()[..], text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Code, Demand};

    #[test]
    fn the_content_type_tells_what_a_caller_understands() {
        for (content_type, expected) in [
            ("application/grpc", Caller::Grpc),
            ("application/grpc+proto", Caller::Grpc),
            ("application/grpc-web", Caller::GrpcWeb(WebEncoding::Binary)),
            ("application/grpc-web+proto", Caller::GrpcWeb(WebEncoding::Binary)),
            ("application/grpc-web-text", Caller::GrpcWeb(WebEncoding::Text)),
            ("application/grpc-web-text+proto", Caller::GrpcWeb(WebEncoding::Text)),
            ("application/grpc-web+json", Caller::Http),
            ("application/grpc;x=y", Caller::Http),
            ("application/json", Caller::Http),
        ] {
            assert_eq!(Caller::of(content_type.as_bytes()), expected, "{content_type}");
        }
    }

    #[test]
    fn grpc_callers_find_the_status_in_headers_without_a_body() {
        let reply = Answer::new(Code::NoCredentials, "orders", Demand::default()).reply(Caller::Grpc);
        assert_eq!((reply.status, reply.grpc, reply.body.len()), (200, Some(GrpcStatus::Unauthenticated), 0));
        for header in [
            ("grpc-status", "16".to_owned()),
            ("grpc-message", "no_credentials: An access token is required".to_owned()),
            ("www-authenticate", "Bearer realm=\"orders\"".to_owned()),
        ] {
            assert!(reply.headers.contains(&header), "{header:?}");
        }
    }

    #[test]
    fn grpc_web_callers_find_the_status_in_a_frame_of_trailers() {
        let answer = Answer::new(Code::NoRoute, "orders", Demand::default());
        let text = b"grpc-status:7\r\ngrpc-message:no_route: No route allows this request\r\n";
        let binary = answer.reply(Caller::GrpcWeb(WebEncoding::Binary));
        assert_eq!(binary.body.split_at(5), (&[0x80, 0, 0, 0, u8::try_from(text.len()).unwrap()][..], &text[..]));
        let in_text = answer.reply(Caller::GrpcWeb(WebEncoding::Text));
        assert_eq!(STANDARD.decode(&in_text.body).unwrap(), binary.body);
        assert_eq!((binary.status, in_text.status), (200, 200));
    }

    /// gRPC percent-encodes what is not printable ASCII, and `%`.
    #[test]
    fn no_message_needs_an_escape() {
        for code in Code::ALL {
            let message = Answer::new(code, "orders", Demand::default()).message;
            assert!(message.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'), "{message}");
        }
    }
}
