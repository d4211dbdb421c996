//! `/v1/blocks`: blocks of parties: made, listed, taken back.

use super::body::{Input, Moment};
use super::page;
use super::party::{PartyView, named};
use super::problem::{Code, Problem};
use super::seen::Seen;
use crate::admins::Caller;
use crate::blocks::{Block, BlockedParty};
use crate::clock::rfc3339;
use crate::made_by::MadeBy;
use crate::per_party::OfParty;
use crate::service::Service;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    issuer: String,
    subject: Option<String>,
    client_id: Option<String>,
    sid: Option<String>,
    until: Option<Moment>,
    #[serde(default)]
    reason: String,
}

impl Asked {
    fn block(self, by: MadeBy, now_ms: u64) -> Result<Block, Problem> {
        let party = named(&self.issuer, self.subject.as_ref(), self.client_id.as_ref(), self.sid.as_ref())?;
        let party = BlockedParty::try_from(party)
            .map_err(|_| Problem::invalid("body: specify one of `subject`, `client_id` and `sid`"))?;
        let until_ms = self.until.map(|moment| moment.ms);
        if until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Err(Problem::invalid("body: `until` has passed already"));
        }
        let transmitter = String::new();
        Ok(Block {
            issuer: self.issuer,
            party,
            until_ms,
            made_at_ms: now_ms,
            reason: self.reason,
            transmitter,
            email: None,
            by,
        })
    }
}

/// A block as the admin API shows it.
#[derive(Serialize)]
pub(super) struct BlockView {
    id: String,
    issuer: String,
    #[serde(flatten)]
    party: PartyView,
    /// Absent when it stands until it is lifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    made_at: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// Absent when an operator has made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    transmitter: String,
    /// The operator, if somebody has noted who it was.
    #[serde(skip_serializing_if = "MadeBy::is_nobody")]
    by: MadeBy,
}

impl From<Block> for BlockView {
    fn from(block: Block) -> Self {
        Self {
            id: block.id(),
            party: block.party().into(),
            until: block.until_ms.map(rfc3339),
            made_at: rfc3339(block.made_at_ms),
            issuer: block.issuer,
            reason: block.reason,
            transmitter: block.transmitter,
            by: block.by,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Made {
    #[serde(flatten)]
    block: BlockView,
    /// The block of the same party that stood until this call.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<BlockView>,
    #[serde(flatten)]
    seen: Seen,
}

/// Blocks a party. The answer shows the block that this call has made; one that another call makes meanwhile may have taken
/// its place since.
pub(super) async fn make(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Input(input): Input<Asked>,
) -> Result<Json<Made>, Problem> {
    let block = input.block(MadeBy::admin(&caller.name), service.clock.now_ms())?;
    let replaced = service.writer.by(caller.actor()).block(block.clone()).await?;
    let made = block.clone();
    let seen = Seen::of(&service, block.issuer.clone(), move |bearer| made.is_about(bearer)).await;
    Ok(Json(Made { block: block.into(), replaced: replaced.map(BlockView::from), seen }))
}

#[derive(Serialize)]
pub(super) struct ListView {
    blocks: Vec<BlockView>,
    /// The cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<ListView>, Problem> {
    let asked = page::Asked::of(&uri)?;
    let now_ms = service.clock.now_ms();
    let (page, has_more) = service.registry.blocks_page(asked.after.as_deref(), asked.limit, now_ms);
    let next = page::next(&page, has_more);
    Ok(Json(ListView { blocks: page.into_iter().map(|(_, block)| block.into()).collect(), next }))
}

/// Takes a block back: the sessions of its party are what they were.
pub(super) async fn lift(
    caller: Caller,
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<BlockView>, Problem> {
    let writer = service.writer.by(caller.actor());
    // Another one of the same party may be made meanwhile: that one is what the caller means now.
    while let Some(block) = service.registry.block_of(&id, service.clock.now_ms()) {
        if writer.unblock(block.clone()).await? {
            return Ok(Json(block.into()));
        }
    }
    Err(Problem::new(Code::NotFound, "there is no block with that id"))
}
