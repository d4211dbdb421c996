//! What a question says for a token.

use portcullis_contract::bounds::REQUEST_ID_BYTES_MAX;
use portcullis_contract::wire;

/// A request for which a token may be minted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Request<'q> {
    /// Its id; empty when unknown.
    pub(super) id: &'q str,
    /// The client's address; empty when unknown.
    pub(super) address: &'q str,
    /// The id of the token that its filter holds.
    pub(super) held: Option<u64>,
}

/// The same of a request that waits.
#[derive(Debug, Default)]
pub(crate) struct OwnRequest {
    id: Box<str>,
    address: Box<str>,
    held: Option<u64>,
}

impl<'q> Request<'q> {
    /// The request of a question. An id that is not what the contract says counts as unknown.
    pub(crate) fn of(question: &'q wire::Question) -> Self {
        let wire::Question { request_id, client_address, held_token, .. } = question;
        let is_id = request_id.len() <= REQUEST_ID_BYTES_MAX && request_id.bytes().all(|byte| byte.is_ascii_graphic());
        Self { id: if is_id { request_id } else { "" }, address: client_address, held: *held_token }
    }

    /// A copy of its own.
    pub(crate) fn own(self) -> OwnRequest {
        OwnRequest { id: self.id.into(), address: self.address.into(), held: self.held }
    }
}

impl OwnRequest {
    /// The same, borrowed.
    pub(crate) const fn borrow(&self) -> Request<'_> {
        Request { id: &self.id, address: &self.address, held: self.held }
    }
}
