//! What a client shows besides its authentication: a key (DPoP; RFC 9449, section 5), and the certificate of its connection.

use super::browser::is_through_proxy;
use super::client::Client;
use super::fault::Fault;
use super::upstream::Upstream;
use super::vault::random;
use crate::check_stream::Taken;
use crate::listener::PeerCertificate;
use crate::proofs::UsedProof;
use crate::service::Service;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::request::Parts;
use portcullis_contract::token::Algorithm;
use portcullis_contract::token::dpop::{Asking, HttpUrl, ProofTerms, prove_key};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What proofs are accepted: those that filters accept by default.
static TERMS: LazyLock<ProofTerms> = LazyLock::new(|| ProofTerms {
    window: Duration::from_mins(1),
    algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
});

/// Notes what a client shows. A proof is for this endpoint or, where a client only knows the issuer's, for that one: then the
/// issuer verifies it as well.
pub(super) async fn note(
    service: &Service,
    upstream: &Arc<Upstream>,
    parts: &Parts,
    client: &mut Client,
) -> Result<(), Fault> {
    // That of a proxy is not its client's, and changes when the proxy gets another one.
    if !is_through_proxy(&parts.headers) {
        client.certificate = parts.extensions.get::<PeerCertificate>().map(|certificate| certificate.0);
    }
    let mut shown = parts.headers.get_all("dpop").iter();
    let proof = match (shown.next(), shown.next()) {
        (None, _) => return Ok(()),
        (Some(proof), None) => proof.to_str().map_err(|_| Fault::InvalidProof)?,
        (Some(_), Some(_)) => return Err(Fault::InvalidProof),
    };
    let issuers = upstream.endpoints().await.ok_or(Fault::Unavailable)?.token;
    let own = own_urls(&parts.headers, parts.uri.authority().map(|authority| authority.as_str()), parts.uri.path());
    let urls: Vec<HttpUrl> = HttpUrl::parse(issuers.as_str()).into_iter().chain(own).collect();
    let is_for_issuer = HttpUrl::parse(issuers.as_str()).is_some();
    let asking = Asking { method: parts.method.as_str(), urls: &urls };
    let now_ms = service.clock.now_ms();
    let (key, url, proven) = prove_key(proof, &asking, &TERMS, |_| None, now_ms).map_err(|_| Fault::InvalidProof)?;
    let asker = random().map(u64::from_be_bytes).ok_or(Fault::Unavailable)?;
    let until_ms = now_ms.saturating_add(proven.lasts_ms).saturating_add(crate::proofs::MARGIN_MS);
    match service.proofs.take(UsedProof { id: proven.id, asker, until_ms }).await {
        Taken::Own => {}
        Taken::Others => return Err(Fault::InvalidProof),
        Taken::Unknown => return Err(Fault::Unavailable),
    }
    client.key = Some(key.0);
    client.proof = (is_for_issuer && url == 0).then(|| proof.to_owned());
    Ok(())
}

/// The URL of this endpoint as clients may see it: what is in front of it may have taken TLS off.
fn own_urls(headers: &HeaderMap, authority: Option<&str>, path: &str) -> Vec<HttpUrl> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).or(authority).unwrap_or_default();
    ["https", "http"].iter().filter_map(|scheme| HttpUrl::parse(&format!("{scheme}://{host}{path}"))).collect()
}
