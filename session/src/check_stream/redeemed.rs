//! Handles of browsers that a filter shows on its stream. They are redeemed elsewhere, in any order, and no verdict waits for them.

use super::answers::Broken;
use crate::service::Service;
use crate::tokens::{self, Redemption};
use portcullis_contract::bounds::REDEMPTIONS_MAX;
use portcullis_contract::wire::{self, Outcome, Redeemed, ServiceMessage};
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Tokens that leave in one message, in bytes: one more may come, and stays within the bound of a message.
const BYTES_MAX: usize = 1024 * 1024;

/// Reads those of a message.
pub(super) fn read(shown: &[wire::Redemption]) -> Result<Vec<Redemption>, Broken> {
    if shown.len() > REDEMPTIONS_MAX {
        return Err(Broken::new(format!("more than {REDEMPTIONS_MAX} redemptions")));
    }
    let malformed = |id| Broken::new(format!("redemption {id} has a malformed handle"));
    shown.iter().map(|shown| Redemption::read(shown).ok_or_else(|| malformed(shown.id))).collect()
}

/// The redemptions of one stream. They are as many as the service answers at a time.
pub(super) struct Redemptions {
    to: UnboundedSender<Redeemed>,
    answered: UnboundedReceiver<Redeemed>,
}

impl Redemptions {
    pub(super) fn new() -> Self {
        let (to, answered) = unbounded_channel();
        Self { to, answered }
    }

    /// Has handles redeemed.
    pub(super) fn begin(&self, service: &Arc<Service>, shown: Vec<Redemption>) {
        match &service.tokens {
            _ if shown.is_empty() => {}
            Some(tokens) => tokens::redeem(service, tokens, shown, self.to.clone()),
            None => {
                let refused = shown.into_iter().map(|redemption| redemption.refused(Outcome::Unavailable));
                // The receiver is here.
                refused.for_each(|refused| drop(self.to.send(refused)));
            }
        }
    }

    /// The next one that is answered. Cancellation-safe.
    pub(super) async fn next(&mut self) -> Option<Redeemed> {
        self.answered.recv().await
    }

    /// A message with this one, and with those that wait behind it.
    pub(super) fn message(&mut self, first: Redeemed) -> ServiceMessage {
        let (mut bytes, mut redeemed) = (first.token.len(), vec![first]);
        while bytes < BYTES_MAX
            && let Ok(next) = self.answered.try_recv()
        {
            bytes += next.token.len();
            redeemed.push(next);
        }
        ServiceMessage { redeemed, ..ServiceMessage::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::bounds::SERVICE_MESSAGE_BYTES_MAX;

    fn shown(id: u32, handle: &[u8]) -> wire::Redemption {
        wire::Redemption { id, handle: handle.to_vec() }
    }

    #[test]
    fn a_handle_is_a_digest_and_a_message_has_so_many_at_most() {
        assert_eq!(read(&vec![shown(1, &[7; 32]); REDEMPTIONS_MAX]).unwrap().len(), REDEMPTIONS_MAX);
        assert!(read(&vec![shown(1, &[7; 32]); REDEMPTIONS_MAX + 1]).is_err());
        for length in [0, 31, 33] {
            assert_eq!(read(&[shown(9, &vec![7; length])]), Err(Broken::new("redemption 9 has a malformed handle")));
        }
    }

    #[tokio::test]
    async fn no_message_is_larger_than_the_contract_says_and_nothing_is_lost() {
        let mut redemptions = Redemptions::new();
        let token = "x".repeat(61_440);
        for id in 0..200 {
            redemptions.to.send(Redeemed { id, token: token.clone(), ..Redeemed::default() }).unwrap();
        }
        let (mut ids, mut messages) = (Vec::new(), 0);
        while ids.len() < 200 {
            let first = redemptions.next().await.unwrap();
            let message = redemptions.message(first);
            // The other fields of one take less than 64 bytes.
            let bytes: usize = message.redeemed.iter().map(|redeemed| redeemed.token.len() + 64).sum();
            assert!(bytes <= SERVICE_MESSAGE_BYTES_MAX);
            ids.extend(message.redeemed.iter().map(|redeemed| redeemed.id));
            messages += 1;
        }
        assert!(ids.into_iter().eq(0..200) && messages <= 12, "{messages}");
    }
}
