//! An HTTP client whose answers are easy to check.

use crate::{PATIENCE, wait::until};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    header::{CONNECTION, HeaderName, HeaderValue},
};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use std::{convert::Infallible, future::IntoFuture, net::SocketAddr, pin::Pin, time::Instant};

type Inner = legacy::Client<HttpConnector, UnsyncBoxBody<Bytes, Infallible>>;

/// A client of one server, with connections that are kept.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    http1: Inner,
    http2: Inner,
}

impl Client {
    /// A client with connections of its own.
    pub fn new(address: SocketAddr) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        let http1 = builder.build_http();
        let http2 = builder.http2_only(true).build_http();
        Self { address, http1, http2 }
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A GET request.
    pub fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    /// A request, to be completed and awaited.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call {
            client: self.clone(),
            method: method.parse().expect("a method"),
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            trailers: HeaderMap::new(),
            http2: false,
        }
    }
}

/// A request that is being built. `.await` sends it and panics if there is no answer.
#[derive(Clone)]
pub struct Call {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
    http2: bool,
}

impl Call {
    /// `Authorization: Bearer TOKEN`.
    pub fn bearer(self, token: impl AsRef<str>) -> Self {
        self.header("authorization", format!("Bearer {}", token.as_ref()))
    }

    /// Adds a header; the value may hold any byte that HTTP can carry.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header value");
        self.headers.append(name, value);
        self
    }

    /// `Host`, in place of the address.
    pub fn host(self, host: &str) -> Self {
        self.header("host", host)
    }

    /// Sends a body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a trailer, which follows the body.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a trailer's name");
        self.trailers.append(name, value.parse().expect("a trailer's value"));
        self
    }

    /// Sends JSON.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends it over h2.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Sends it as a gRPC call: HTTP/2, with an empty message.
    pub fn grpc(self) -> Self {
        self.http2().header("content-type", "application/grpc").header("te", "trailers").body(vec![0; 5])
    }

    /// Uses a connection of its own, so that any worker of Envoy may get it.
    pub fn fresh(mut self) -> Self {
        self.client = Client::new(self.client.address);
        if !self.http2 {
            self.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self
    }

    /// Sends it; an answer that is missing or incomplete is an error.
    pub async fn try_send(self) -> Result<Answer, String> {
        let answer = async {
            let response = self.begin().await?;
            Answer::read(response).await
        };
        tokio::time::timeout(PATIENCE, answer).await.map_err(|_| format!("no answer in {PATIENCE:?}"))?
    }

    /// Sends it; returns when the answer has begun.
    pub async fn begin(self) -> Result<Response<Incoming>, String> {
        let uri: Uri = format!("http://{}{}", self.client.address, self.path).parse().expect("a request target");
        let body = Full::new(self.body);
        let body = match self.trailers.is_empty() {
            true => body.boxed_unsync(),
            false => body.with_trailers(std::future::ready(Some(Ok(self.trailers)))).boxed_unsync(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers;
        let client = if self.http2 {
            *request.version_mut() = Version::HTTP_2;
            self.client.http2
        } else {
            self.client.http1
        };
        client.request(request).await.map_err(|fault| format!("{fault:?}"))
    }

    /// Sends it repeatedly, each time on a new connection, until `good` accepts the answer.
    pub async fn until(self, what: &str, good: impl Fn(&Answer) -> bool) -> Answer {
        until(what, async || {
            let answer = self.clone().fresh().try_send().await.ok()?;
            good(&answer).then_some(answer)
        })
        .await
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let what = format!("{} {}", self.method, self.path);
            self.try_send().await.unwrap_or_else(|fault| panic!("{what}: {fault}"))
        })
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When its head had been read.
    pub begun_at: Instant,
}

impl Answer {
    /// Reads the rest of an answer whose head has just been read.
    pub(crate) async fn read(response: Response<Incoming>) -> Result<Self, String> {
        let begun_at = Instant::now();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|fault| format!("{fault:?}"))?;
        Ok(Self { status: parts.status, headers: parts.headers, body: body.to_bytes(), begun_at })
    }

    /// A header's first value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `code` of a refusal, or nothing.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// What the upstream received under a header name.
    pub fn echoed(&self, name: &str) -> Vec<String> {
        serde_json::from_value(self.json()["headers"][name].clone()).unwrap_or_default()
    }

    /// Demands that the upstream answered.
    #[track_caller]
    pub fn passes(&self) -> &Self {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert!(self.json()["headers"].is_object(), "not from the upstream: {self:?}");
        self
    }

    /// Demands a refusal with this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Self {
        let got = (self.status.as_u16(), self.code());
        assert_eq!(got, (status, code.to_owned()), "{self:?}");
        self
    }

    /// Demands this status.
    #[track_caller]
    pub fn status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}
