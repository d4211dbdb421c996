//! Host calls that pass bytes and cannot panic.
//!
//! The SDK's string getters unwrap UTF-8, so a single invalid byte from a client would end the VM; only the byte calls
//! are used. The SDK also panics on a status that it does not expect; the calls made here are not known to return one.

use portcullis_engine::token::HostQuestion;
use portcullis_engine::{
    USER_AGENT,
    answer::{GrpcStatus, Reply},
    authorize::{Call, LookUp},
    time::{Monotonic, Now},
};
use prost::Message;
use proxy_wasm::{
    hostcalls,
    types::{BufferType, MapType},
};
use std::{
    sync::OnceLock,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// The readings of both clocks.
pub(crate) fn now() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let since_epoch = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let wall_ms = since_epoch.map(millis).filter(|ms| *ms != 0);
    Now { wall_ms, instant: Monotonic(millis(START.get_or_init(Instant::now).elapsed())) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// All request headers, in one call.
pub(crate) fn request_headers() -> Vec<(String, Vec<u8>)> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
}

/// Removes a request header, with all its values.
pub(crate) fn remove_request_header(name: &str) {
    let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
}

/// Replaces all values of a request header by one.
pub(crate) fn replace_request_header(name: &str, value: &[u8]) {
    remove_request_header(name);
    let _ = hostcalls::add_map_value_bytes(MapType::HttpRequestHeaders, name, value);
}

/// Adds a response header, unless the response has one of this name.
pub(crate) fn default_response_header(name: &str, value: &str) {
    if matches!(hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, name), Ok(None)) {
        let _ = hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name, value.as_bytes());
    }
}

/// Sets a response header, whatever the upstream has set.
pub(crate) fn replace_response_header(name: &str, value: &str) {
    let _ = hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, Some(value.as_bytes()));
}

/// All request trailers.
pub(crate) fn request_trailers() -> Vec<(String, Vec<u8>)> {
    hostcalls::get_map_bytes(MapType::HttpRequestTrailers).unwrap_or_default()
}

/// Removes a request trailer, with all its values.
pub(crate) fn remove_request_trailer(name: &str) {
    let _ = hostcalls::remove_map_value(MapType::HttpRequestTrailers, name);
}

/// Adds a request header.
pub(crate) fn add_request_header(name: &str, value: &str) {
    let _ = hostcalls::add_map_value_bytes(MapType::HttpRequestHeaders, name, value.as_bytes());
}

/// What Envoy knows of the current request. It only completes a handshake with a certificate that it has verified, unless its
/// configuration says otherwise; docs/envoy.md says how it must not be configured.
pub(crate) fn look_up(what: LookUp<'_>) -> Option<Vec<u8>> {
    let property = |path: &[&str]| hostcalls::get_property(path.to_vec()).ok().flatten();
    match what {
        LookUp::ClientAddress => property(&["source", "address"]).map(without_port),
        LookUp::CertificateDigest => property(&["connection", "sha256_peer_certificate_digest"]),
        LookUp::CertificateUri => property(&["connection", "uri_san_peer_certificate"]),
        LookUp::CertificateDns => property(&["connection", "dns_san_peer_certificate"]),
        // The second path is that of older versions.
        LookUp::RouteCluster => property(&["xds", "cluster_name"]).or_else(|| property(&["cluster_name"])),
        LookUp::Vouched(header) => property(&["metadata", "filter_metadata", VOUCHED_NAMESPACE, header]),
    }
}

/// The namespace of the dynamic metadata in which an earlier filter vouches for headers.
const VOUCHED_NAMESPACE: &str = "portcullis";

fn without_port(address: Vec<u8>) -> Vec<u8> {
    let address = String::from_utf8(address).unwrap_or_default();
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _port)| host);
    host.trim_start_matches('[').trim_end_matches(']').as_bytes().to_vec()
}

/// The filter's `name` in Envoy's configuration; empty when unknown.
pub(crate) fn filter_name() -> String {
    let name = hostcalls::get_property(vec!["plugin_name"]).ok().flatten().unwrap_or_default();
    String::from_utf8(name).unwrap_or_default()
}

/// Envoy's node id; empty when unknown.
pub(crate) fn node_id() -> String {
    // The second path is that of older versions.
    let paths = [vec!["xds", "node", "id"], vec!["node", "id"]];
    let found = paths.into_iter().filter_map(|path| hostcalls::get_property(path).ok().flatten());
    let mut texts = found.filter_map(|id| String::from_utf8(id).ok()).filter(|id| !id.is_empty());
    texts.next().unwrap_or_default()
}

/// A text that any VM of this process has shared under a key.
pub(crate) fn shared(key: &str) -> Option<String> {
    let (value, _) = hostcalls::get_shared_data(key).ok()?;
    String::from_utf8(value?).ok()
}

/// Shares a text with all VMs of this process.
pub(crate) fn set_shared(key: &str, value: &str) {
    let _ = hostcalls::set_shared_data(key, Some(value.as_bytes()), None);
}

/// Stores `record` for access logs: `%FILTER_STATE(wasm.portcullis:PLAIN)%`.
pub(crate) fn set_log_field(record: &str) {
    let _ = hostcalls::set_property(vec!["portcullis"], Some(record.as_bytes()));
}

/// Answers the request locally. Envoy sends the reply once this callback has returned.
pub(crate) fn answer(reply: &Reply) {
    let Some(status) = reply.grpc else {
        let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let _ = hostcalls::send_http_response(u32::from(reply.status), headers, Some(&reply.body));
        return;
    };
    let metadata = reply.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let _ = hostcalls::send_grpc_response(grpc_code(status), None, metadata);
}

fn grpc_code(status: GrpcStatus) -> proxy_wasm::types::GrpcStatusCode {
    use proxy_wasm::types::GrpcStatusCode as Code;
    match status {
        GrpcStatus::InvalidArgument => Code::InvalidArgument,
        GrpcStatus::PermissionDenied => Code::PermissionDenied,
        GrpcStatus::Unavailable => Code::Unavailable,
        GrpcStatus::Unauthenticated => Code::Unauthenticated,
    }
}

/// Makes `context` the effective context of the following calls. Returns false if it is gone: a client can leave at any
/// time.
pub(crate) fn enter(context: u32) -> bool {
    hostcalls::set_effective_context(context).is_ok()
}

/// Resumes a paused request.
pub(crate) fn resume_request() {
    let _ = hostcalls::resume_http_request();
}

/// Resets a request, whatever part of its response has been sent.
pub(crate) fn reset_request() {
    let _ = hostcalls::reset_http_request();
}

/// Opens the check stream; the effective context must be the root.
pub(crate) fn open_stream(cluster: &str, authorization: Option<&str>) -> Option<u32> {
    let metadata = authorization.iter().map(|value| ("authorization", value.as_bytes())).collect();
    hostcalls::open_grpc_stream(&grpc_service(cluster), "portcullis.check.v1.SessionCheck", "Check", metadata).ok()
}

/// A cluster as an encoded `GrpcService{envoy_grpc: {cluster_name}}`. Envoy also accepts a bare name, but first tries
/// to decode it as this message: some names, such as `authz-svc`, decode to one without a target, and Envoy aborts.
fn grpc_service(cluster: &str) -> String {
    const CLUSTER_NAME_TAG: u8 = 0x0a;
    const ENVOY_GRPC_TAG: u8 = 0x0a;
    // The policy limits the name's length so that both lengths fit in a single byte, and the whole is text.
    let length = u8::try_from(cluster.len()).unwrap_or(u8::MAX);
    let head = [ENVOY_GRPC_TAG, length.saturating_add(2), CLUSTER_NAME_TAG, length];
    head.map(char::from).into_iter().chain(cluster.chars()).collect()
}

/// Sends a message on the check stream; the effective context must be the root.
pub(crate) fn send(stream: u32, message: &[u8]) {
    let _ = hostcalls::send_grpc_stream_message(stream, Some(message), false);
}

/// Half-closes a check stream: no more messages will be sent. The effective context must be the root.
pub(crate) fn close(stream: u32) {
    let _ = hostcalls::close_grpc_stream(stream);
}

/// Resets the check stream; the effective context must be the root.
pub(crate) fn cancel(stream: u32) {
    let _ = hostcalls::cancel_grpc_stream(stream);
}

/// The message announced by a callback. At most one byte more than `bytes_max` is copied, enough to detect a longer
/// message.
pub(crate) fn stream_message(size: usize, bytes_max: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::GrpcReceiveBuffer, 0, size.min(bytes_max.saturating_add(1)))
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// Sends a GET; the effective context must be the root. `None` if it could not be sent.
pub(crate) fn get(cluster: &str, scheme: &str, authority: &str, path: &str, timeout: Duration) -> Option<u32> {
    let headers = vec![
        (":method", "GET"),
        (":scheme", scheme),
        (":authority", authority),
        (":path", path),
        ("accept", "application/jwk-set+json, application/json"),
        ("user-agent", USER_AGENT),
    ];
    hostcalls::dispatch_http_call(cluster, headers, None, Vec::new(), timeout).ok()
}

/// Sends a call to an introspection endpoint. The response is delivered to the context in whose callback this is
/// called. `None` if it could not be sent.
pub(crate) fn post(call: &Call) -> Option<u32> {
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    hostcalls::dispatch_http_call(&call.cluster, headers, Some(&call.body), Vec::new(), call.timeout).ok()
}

/// Status and body of a call's response. At most one byte more than `body_bytes_max` is read, enough to detect a longer
/// body.
///
/// A call whose response was cut off returns without headers, and reading them would fail.
pub(crate) fn call_response(headers: usize, body_bytes: usize, body_bytes_max: usize) -> Option<(u32, Vec<u8>)> {
    if headers == 0 {
        return None;
    }
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok().flatten()?;
    let status = std::str::from_utf8(&status).ok()?.parse().ok()?;
    let bytes = body_bytes.min(body_bytes_max.saturating_add(1));
    let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, bytes).ok().flatten();
    Some((status, body.unwrap_or_default()))
}

/// Arguments and result of Envoy's foreign function `verify_signature` (`envoy.source.extensions.common.wasm`).
#[derive(Clone, PartialEq, Message)]
struct VerifySignatureArguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct VerifySignatureResult {
    #[prost(bool, tag = "1")]
    result: bool,
}

/// Asks Envoy to verify a signature; `None` if the host has no such function, or cannot read the question or the key.
pub(crate) fn verify_signature(question: &HostQuestion<'_>) -> Option<bool> {
    let arguments = VerifySignatureArguments {
        hash_function: question.hash.to_owned(),
        public_key: question.key.to_vec(),
        signature: question.signature.to_vec(),
        text: question.text.to_vec(),
    };
    let answer = hostcalls::call_foreign_function("verify_signature", Some(&arguments.encode_to_vec())).ok()?;
    // `false` is protobuf's default, so a result without the field, or without any bytes, means that the signature is
    // invalid.
    VerifySignatureResult::decode(answer.unwrap_or_default().as_slice()).ok().map(|answer| answer.result)
}
