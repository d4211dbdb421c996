//! Splits what a service has to say at once into messages within the bound. A verdict of a narrowed session has all the
//! scopes that are left, so a message with thousands of verdicts would otherwise have no bound; nor would one with the tokens
//! of thousands of handles.

use super::SERVICE_MESSAGE_BYTES_MAX;
use crate::wire::{Redeemed, ServiceMessage, Verdict};
use prost::Message;
use prost::encoding::message::encoded_len;
use std::mem::take;

/// What can be said in a further message.
enum Piece {
    Followed(Verdict),
    Verdict(Verdict),
    Redeemed(Redeemed),
}

impl Piece {
    /// The numbers of all three fields take one byte.
    fn bytes(&self) -> usize {
        match self {
            Self::Followed(verdict) | Self::Verdict(verdict) => encoded_len(1, verdict),
            Self::Redeemed(redeemed) => encoded_len(1, redeemed),
        }
    }

    fn put(self, message: &mut ServiceMessage) {
        match self {
            Self::Followed(verdict) => message.followed.push(verdict),
            Self::Verdict(verdict) => message.verdicts.push(verdict),
            Self::Redeemed(redeemed) => message.redeemed.push(redeemed),
        }
    }
}

/// Splits a message: the first part has everything but what did not fit, which is in the further parts: states of followed
/// sessions first, because they cut open requests, then verdicts, then tokens. What exceeds the bound by itself has its own
/// part.
pub fn split(message: ServiceMessage) -> (ServiceMessage, Vec<ServiceMessage>) {
    if message.encoded_len() <= SERVICE_MESSAGE_BYTES_MAX {
        return (message, Vec::new());
    }
    let mut first = message;
    let followed = take(&mut first.followed).into_iter().map(Piece::Followed);
    let verdicts = take(&mut first.verdicts).into_iter().map(Piece::Verdict);
    let redeemed = take(&mut first.redeemed).into_iter().map(Piece::Redeemed);
    let (mut bytes, mut parts) = (first.encoded_len(), Vec::new());
    let mut part = first;
    for piece in followed.chain(verdicts).chain(redeemed) {
        let added = piece.bytes();
        if bytes > 0 && bytes + added > SERVICE_MESSAGE_BYTES_MAX {
            parts.push(take(&mut part));
            bytes = 0;
        }
        bytes += added;
        piece.put(&mut part);
    }
    parts.push(part);
    let mut parts = parts.into_iter();
    (parts.next().unwrap_or_default(), parts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Scopes, Welcome};

    fn verdict(id: u32, scope_bytes: usize) -> Verdict {
        let narrowed = (scope_bytes > 0).then(|| Scopes { scopes: vec!["x".repeat(scope_bytes)] });
        Verdict { id, narrowed, ..Verdict::default() }
    }

    fn ids(verdicts: &[Verdict]) -> impl Iterator<Item = u32> {
        verdicts.iter().map(|verdict| verdict.id)
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let verdicts = (0..16_384).map(|id| verdict(id, 0)).collect();
        let message = ServiceMessage { verdicts, received: true, drain: true, ..ServiceMessage::default() };
        assert_eq!(split(message.clone()), (message, Vec::new()));
    }

    #[test]
    fn no_part_exceeds_the_bound_and_together_they_say_the_same() {
        let welcome = Some(Welcome { store_id: "s".to_owned(), ..Welcome::default() });
        for scope_bytes in [1_000, 12_000, 100_000, SERVICE_MESSAGE_BYTES_MAX / 2] {
            let many =
                || (0..).take(3_000_000 / scope_bytes + 1).map(|id| verdict(id, scope_bytes)).collect::<Vec<_>>();
            let whole = ServiceMessage {
                verdicts: many(),
                followed: many(),
                received: true,
                welcome: welcome.clone(),
                ..ServiceMessage::default()
            };
            let (first, rest) = split(whole.clone());
            assert!(first.received && first.welcome.is_some() && !first.followed.is_empty());
            assert!(rest.iter().all(|part| !part.received && part.welcome.is_none()));
            let parts: Vec<_> = std::iter::once(first).chain(rest).collect();
            assert!(parts.len() > 1 && parts.iter().all(|part| part.encoded_len() <= SERVICE_MESSAGE_BYTES_MAX));
            let followed: Vec<_> = parts.iter().flat_map(|part| ids(&part.followed)).collect();
            let verdicts: Vec<_> = parts.iter().flat_map(|part| ids(&part.verdicts)).collect();
            assert!(followed.iter().copied().eq(ids(&whole.followed)), "{scope_bytes}");
            assert!(verdicts.iter().copied().eq(ids(&whole.verdicts)), "{scope_bytes}");
            // Nothing is split for less than need be.
            let bytes: usize = parts.iter().map(Message::encoded_len).sum();
            assert!(parts.len() <= 2 * bytes.div_ceil(SERVICE_MESSAGE_BYTES_MAX), "{scope_bytes}");
        }
    }

    #[test]
    fn a_verdict_that_exceeds_the_bound_by_itself_has_its_own_part() {
        let verdicts = vec![verdict(1, 10), verdict(2, SERVICE_MESSAGE_BYTES_MAX + 1), verdict(3, 10)];
        let (first, rest) = split(ServiceMessage { verdicts, ..ServiceMessage::default() });
        let parts: Vec<Vec<u32>> =
            std::iter::once(&first).chain(&rest).map(|part| ids(&part.verdicts).collect()).collect();
        assert_eq!(parts, [[1], [2], [3]]);
    }

    #[test]
    fn the_tokens_of_handles_follow_the_verdicts() {
        let redeemed = |id| Redeemed { id, token: "x".repeat(16_384), ..Redeemed::default() };
        let whole = ServiceMessage {
            verdicts: vec![verdict(1, 10)],
            redeemed: (0..1_024).map(redeemed).collect(),
            ..ServiceMessage::default()
        };
        let (first, rest) = split(whole);
        let parts: Vec<_> = std::iter::once(&first).chain(&rest).collect();
        assert_eq!(ids(&first.verdicts).collect::<Vec<_>>(), [1]);
        assert!(parts.len() > 8 && parts.iter().all(|part| part.encoded_len() <= SERVICE_MESSAGE_BYTES_MAX));
        let ids = parts.iter().flat_map(|part| part.redeemed.iter().map(|redeemed| redeemed.id));
        assert!(ids.eq(0..1_024));
    }
}
