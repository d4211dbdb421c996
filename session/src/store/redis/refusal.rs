//! Why Redis did not do what it was asked.

use super::journal::Epoch;
use super::link::Link;
use super::reply::Reply;
use super::script::Script;
use crate::replica::NoBeat;
use crate::store::StoreError;

/// What is said of a server that has gone back without having begun another life.
pub(super) const LOST: &str = "Redis has lost changes that this replica has applied, and says that it was never restarted: \
                               restart it";

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is none, or none that can be read.
    Failed(StoreError),
    /// The server has no store, or another one, or the history of another one.
    Foreign(String),
    /// The server is in another epoch.
    Moved(Epoch),
    /// The epoch is not complete.
    Waiting(String),
    /// The log no longer has what was asked for.
    Trimmed,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(error) => error,
            Refusal::Foreign(why) | Refusal::Waiting(why) => Self(why),
            Refusal::Moved(epoch) => Self(format!("Redis has begun epoch {}: ask again", epoch.counter)),
            Refusal::Trimmed => Self("the log no longer has what this replica has missed".to_owned()),
        }
    }
}

impl From<Refusal> for NoBeat {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Foreign(why) => Self::Foreign(why),
            Refusal::Waiting(why) => Self::Waiting(why),
            Refusal::Trimmed => Self::Outdated,
            other => Self::Failed(other.into()),
        }
    }
}

/// Runs a script as somebody in that epoch of that store.
pub(super) fn ask(
    link: &mut Link,
    store: &str,
    epoch: &Epoch,
    script: &Script,
    arguments: &[&[u8]],
) -> Result<Reply, Refusal> {
    let counter = epoch.counter.to_string();
    let head = [store.as_bytes(), counter.as_bytes(), epoch.lineage.as_bytes()];
    let mut reply = link.run(script, &head, arguments)?;
    let refusal = match reply.word() {
        "EMPTY" => Refusal::Foreign(
            "Redis has no store under this prefix, and this replica has one: start the replicas with `--adopt` to give it \
             back, or restore a backup"
                .to_owned(),
        ),
        "OTHER" => Refusal::Foreign(
            "Redis has another store under this prefix: set another `prefix`, or remove the journal of every replica to use \
             that store"
                .to_owned(),
        ),
        "STRAY" => Refusal::Foreign(
            "this replica's journal and Redis have different histories: remove the journal, so that the replica begins as a \
             new one"
                .to_owned(),
        ),
        "FORGOTTEN" => Refusal::Foreign(
            "this replica was given up with `store forget`: remove its journal, so that it begins as a new one"
                .to_owned(),
        ),
        "FULL" => Refusal::Foreign(format!(
            "Redis knows as many replicas as there are to be: raise `replicas`, or give one up with `portcullis-session store \
             forget`: {}",
            reply.rest()?.join(", ")
        )),
        "EPOCH" => Refusal::Moved(Epoch { counter: reply.number()?, lineage: reply.text()? }),
        "WAITING" => {
            let unknown: usize = reply.number()?;
            Refusal::Waiting(waiting(&reply.rest()?, unknown))
        }
        "TRIMMED" => Refusal::Trimmed,
        _ => return Ok(reply),
    };
    Err(refusal)
}

/// Says who is waited for.
pub(super) fn waiting(names: &[String], unknown: usize) -> String {
    let mut whom = names.to_vec();
    if unknown > 0 {
        whom.push(format!("{unknown} that Redis does not know"));
    }
    format!("Redis may lack changes until every replica has reported; missing: {}", whom.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_waited_for_are_named() {
        let said = waiting(&["a-1".to_owned()], 2);
        assert!(said.ends_with("missing: a-1, 2 that Redis does not know"), "{said}");
    }
}
