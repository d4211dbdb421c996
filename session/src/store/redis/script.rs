//! The scripts that run in the server. Each is one step that nobody sees half of.

use std::sync::LazyLock;

/// A script.
pub(super) struct Script(pub(super) redis::Script);

macro_rules! scripts {
    ($($name:ident: $file:literal,)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script(redis::Script::new(concat!(include_str!("scripts/common.lua"), include_str!(concat!("scripts/", $file)))))
        });)+
    };
}

scripts! {
    OPEN: "open.lua",
    REPORT: "report.lua",
    PUSH: "push.lua",
    RESET: "reset.lua",
    READ: "read.lua",
    LOCK: "lock.lua",
    UNLOCK: "unlock.lua",
    APPEND: "append.lua",
    JOIN: "join.lua",
    BEAT: "beat.lua",
    LIST: "list.lua",
    EVICT: "evict.lua",
    LEAVE: "leave.lua",
    TRIM: "trim.lua",
    PUBLISHED: "published.lua",
    SNAPSHOT: "snapshot.lua",
    STATE: "state.lua",
    FORGET: "forget.lua",
    PROOFS: "proofs.lua",
}

/// The keys of one store. Their common tag keeps them on one node of a cluster.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) meta: String,
    log: String,
    names: String,
    reported: String,
    forgotten: String,
    runs: String,
    /// Where replicas are told that there is something new.
    pub(super) channel: String,
    tag: String,
}

impl Keys {
    pub(super) fn of(prefix: &str) -> Self {
        let key = |name: &str| format!("{{{prefix}}}:{name}");
        Self {
            meta: key("meta"),
            log: key("log"),
            names: key("names"),
            reported: key("reported"),
            forgotten: key("forgotten"),
            runs: key("runs"),
            channel: key("news"),
            tag: key("snapshot"),
        }
    }

    /// In the order in which the scripts expect them.
    pub(super) fn all(&self) -> [&str; 6] {
        [&self.meta, &self.log, &self.names, &self.reported, &self.forgotten, &self.runs]
    }

    /// The key of a snapshot.
    pub(super) fn snapshot(&self, token: &str) -> String {
        format!("{}:{token}", self.tag)
    }
}
