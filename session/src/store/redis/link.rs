//! One connection to the server that has the data, used by one thread at a time, and made again when it has failed.
//!
//! Calls block and are bounded in time. After any error the connection is dropped, and the next one asks anew which
//! server has the data.

use super::reply::Reply;
use super::script::{Keys, Script};
use super::source::{Node, Route, Target};
use crate::store::StoreError;
use redis::{Connection, RedisError};
use std::time::Duration;

/// How long a connection may take, and an answer.
const CONNECT_MAX: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A connection.
pub(super) struct Link {
    target: Target,
    keys: Keys,
    connection: Option<Connection>,
}

impl Link {
    pub(super) fn new(target: &Target) -> Self {
        Self { target: target.clone(), keys: Keys::of(&target.prefix), connection: None }
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Runs a script; its answer begins with a word.
    pub(super) fn run(&mut self, script: &Script, head: &[&[u8]], arguments: &[&[u8]]) -> Result<Reply, StoreError> {
        let channel = self.keys.channel.clone();
        let mut invocation = script.0.prepare_invoke();
        for key in self.keys.all() {
            invocation.key(key);
        }
        for argument in head.iter().copied().chain([channel.as_bytes()]).chain(arguments.iter().copied()) {
            invocation.arg(argument);
        }
        let value = self.with(|connection| invocation.invoke(connection))?;
        Reply::read(value).and_then(|reply| match reply.word() {
            // The address leads to a server that was demoted.
            "REPLICA" => {
                self.close();
                Err(StoreError("the server is not a primary".to_owned()))
            }
            _ => Ok(reply),
        })
    }

    /// Runs a command.
    pub(super) fn command<T: redis::FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T, StoreError> {
        self.with(|connection| command.query(connection))
    }

    fn with<T>(&mut self, run: impl FnOnce(&mut Connection) -> Result<T, RedisError>) -> Result<T, StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(connect(&self.target, &self.keys)?),
        };
        run(connection).map_err(|error| {
            self.close();
            failed(&error)
        })
    }

    /// Drops the connection.
    pub(super) fn close(&mut self) {
        self.connection = None;
    }
}

/// Connects to the server that has the data.
pub(super) fn connect(target: &Target, keys: &Keys) -> Result<Connection, StoreError> {
    match &target.route {
        Route::Direct(node) => open(target, node, false),
        Route::Sentinel(nodes, primary) => first_of(nodes, |node| {
            let mut sentinel = open(target, node, true)?;
            let found: Option<(String, u16)> = redis::cmd("SENTINEL")
                .arg("get-master-addr-by-name")
                .arg(primary)
                .query(&mut sentinel)
                .map_err(|error| failed(&error))?;
            let (host, port) = found.ok_or_else(|| StoreError(format!("Sentinel knows no primary `{primary}`")))?;
            open(target, &Node { host, port }, false)
        }),
        Route::Cluster(nodes) => first_of(nodes, |node| {
            let mut connection = open(target, node, false)?;
            match redis::cmd("EXISTS").arg(&keys.meta).query::<u8>(&mut connection) {
                Ok(_) => Ok(connection),
                Err(error) => {
                    let moved = error.redirect_node().and_then(|(address, _)| address.rsplit_once(':'));
                    let moved = moved.and_then(|(host, port)| Some((host, port.parse().ok()?)));
                    let (host, port) = moved.ok_or_else(|| failed(&error))?;
                    // A node that does not know its own name leaves it out.
                    let host = if host.is_empty() { &node.host } else { host };
                    open(target, &Node { host: host.to_owned(), port }, false)
                }
            }
        }),
    }
}

fn first_of(
    nodes: &[Node],
    connect: impl Fn(&Node) -> Result<Connection, StoreError>,
) -> Result<Connection, StoreError> {
    let mut last = StoreError("no node is configured".to_owned());
    for node in nodes {
        match connect(node) {
            Ok(connection) => return Ok(connection),
            Err(error) => last = StoreError(format!("{}:{}: {error}", node.host, node.port)),
        }
    }
    Err(last)
}

fn open(target: &Target, node: &Node, is_sentinel: bool) -> Result<Connection, StoreError> {
    let client = target.client(node, is_sentinel).map_err(|error| failed(&error))?;
    let connection = client.get_connection_with_timeout(CONNECT_MAX).map_err(|error| failed(&error))?;
    connection.set_read_timeout(Some(ANSWER_MAX)).map_err(|error| failed(&error))?;
    connection.set_write_timeout(Some(ANSWER_MAX)).map_err(|error| failed(&error))?;
    Ok(connection)
}

/// The error in words for an operator.
pub(super) fn failed(error: &RedisError) -> StoreError {
    match error.is_timeout() {
        true => StoreError(format!("no answer in {} s", ANSWER_MAX.as_secs())),
        false => StoreError(error.to_string()),
    }
}
