//! Streams that an operator has deleted.

use super::super::transmitter::Transmitter;
use crate::service::Service;
use crate::store::{Receipt, ReceiptId};
use crate::writer::{Effect, Signal};
use std::sync::Arc;
use tracing::warn;

/// How long it is remembered that an operator has deleted a stream: until every replica has noticed.
const DELETED_KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// What remembers that an operator has deleted a stream. Ids of signals are texts of the transmitter's own, so that only it
/// could send one that collides.
fn deletion(transmitter: &Transmitter, stream_id: &str) -> ReceiptId {
    ReceiptId::of(transmitter.name(), &format!("\0deleted\0{stream_id}"))
}

/// Has every replica know that an operator deletes a stream.
pub(super) async fn remember_deletion(
    service: &Service,
    transmitter: &Transmitter,
    stream_id: &str,
) -> Result<(), &'static str> {
    let until_ms = service.clock.now_ms().saturating_add(DELETED_KEPT_MS);
    let receipt = Some(Receipt { id: deletion(transmitter, stream_id), until_ms });
    let signal = Signal { transmitter: transmitter.name().to_owned(), receipt, ..Signal::default() };
    service.writer.signal(signal).await.map(drop).map_err(|_| "the store cannot write: the stream was not deleted")
}

/// It was not deleted, or is wanted again.
pub(super) async fn forget_deletion(
    service: &Service,
    transmitter: &Transmitter,
    stream_id: &str,
) -> Result<(), &'static str> {
    let effects = vec![Effect::Unreceived(deletion(transmitter, stream_id))];
    let signal = Signal { transmitter: transmitter.name().to_owned(), effects, ..Signal::default() };
    service.writer.signal(signal).await.map(drop).map_err(|_| "the store cannot write")
}

/// Whether an operator has deleted a stream, here or at another replica.
pub(super) async fn was_deleted(service: &Service, transmitter: &Transmitter, stream_id: &str) -> Result<bool, String> {
    let (store, id) = (Arc::clone(&service.store), deletion(transmitter, stream_id));
    let read = tokio::task::spawn_blocking(move || store.received(&[&id]).map(|found| !found.is_empty())).await;
    read.map_err(|e| e.to_string())?.map_err(|e| {
        warn!(error = %e, "the store could not read");
        "the store cannot read".to_owned()
    })
}
