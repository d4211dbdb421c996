//! One connection to the database, used by one thread at a time, and made again when it has failed.
//!
//! Calls block and are bounded in time. After any error the connection is dropped, and with it a transaction that was
//! open: whatever was not committed is gone.

use super::connect::Target;
use super::schema;
use crate::store::StoreError;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, NoTls, Row, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a step of a commit, or a beat, may take, a new connection included.
const STEP_MAX: Duration = Duration::from_secs(4);

/// The codes of the server's warnings that it has stopped waiting for its standby in the middle of a commit.
const DOUBTS: [SqlState; 2] = [SqlState::QUERY_CANCELED, SqlState::ADMIN_SHUTDOWN];

/// How a connection is encrypted.
#[derive(Clone)]
pub(super) enum Transport {
    Plain,
    Tls(MakeRustlsConnect),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Queries.
    Queries,
    /// Queries, and the notifications of other replicas.
    News,
}

/// A connection.
pub(super) struct Link {
    /// Taken only when this is dropped.
    runtime: Option<Runtime>,
    target: Target,
    purpose: Purpose,
    connected: Option<Connected>,
    news: (UnboundedSender<String>, UnboundedReceiver<String>),
}

/// A connection that is open.
pub(super) struct Connected {
    client: Client,
    statements: HashMap<&'static str, Statement>,
    driver: JoinHandle<()>,
    /// The server has said that a commit may not be on its standby.
    is_doubtful: Arc<AtomicBool>,
}

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Link {
    pub(super) fn new(target: &Target, purpose: Purpose) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| StoreError(e.to_string()))?;
        Ok(Self { runtime: Some(runtime), target: target.clone(), purpose, connected: None, news: unbounded_channel() })
    }

    /// Runs a step, on a new connection if there is none.
    pub(super) fn run<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut Connected) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (target, purpose, news) = (self.target.clone(), self.purpose, self.news.0.clone());
        self.bounded(async move |held| {
            // The server may have closed it since the last step: its driver learns of that only while this runs.
            if held.is_some() {
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
            held.take_if(|connected| connected.client.is_closed());
            let connected = match held {
                Some(connected) => connected,
                None => held.insert(Connected::open(&target, purpose, news).await?),
            };
            step(connected).await
        })
    }

    /// Runs a step of the transaction that the last one has begun: on its connection, and on no other.
    pub(super) fn go_on<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut Connected) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.bounded(async move |held| match held {
            Some(connected) => step(connected).await,
            None => Err(StoreError("the connection was lost before the commit".to_owned())),
        })
    }

    fn bounded<T>(
        &mut self,
        step: impl AsyncFnOnce(&mut Option<Connected>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let runtime = self.runtime.as_ref().ok_or_else(|| StoreError("the connection is closed".to_owned()))?;
        let held = &mut self.connected;
        let done = runtime.block_on(async { tokio::time::timeout(STEP_MAX, step(held)).await });
        let done = done.unwrap_or_else(|_| Err(StoreError(format!("no answer in {} s", STEP_MAX.as_secs()))));
        if done.is_err() {
            self.close();
        }
        done
    }

    /// Drops the connection.
    pub(super) fn close(&mut self) {
        if let Some(connected) = self.connected.take() {
            connected.driver.abort();
        }
    }

    /// Waits for a notification or for `other`, at most this long. `None`: neither came.
    pub(super) fn wait<T>(&mut self, at_most: Duration, other: impl Future<Output = T>) -> Option<Result<String, T>> {
        let runtime = self.runtime.as_ref()?;
        let news = &mut self.news.1;
        runtime.block_on(async {
            let either = async {
                tokio::select! {
                    other = other => Some(Err(other)),
                    // The sender is kept here.
                    text = news.recv() => text.map(Ok),
                }
            };
            tokio::time::timeout(at_most, either).await.ok().flatten()
        })
    }

    /// Takes the notifications that have come.
    pub(super) fn take_news(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.news.1.try_recv().ok()).collect()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Dropped in the usual way, a runtime panics where another one runs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Connected {
    async fn open(target: &Target, purpose: Purpose, news: UnboundedSender<String>) -> Result<Self, StoreError> {
        let is_doubtful = Arc::<AtomicBool>::default();
        let doubts = Arc::clone(&is_doubtful);
        let (client, driver) = match &target.transport {
            Transport::Plain => open(target, NoTls, news, doubts).await?,
            Transport::Tls(tls) => open(target, tls.clone(), news, doubts).await?,
        };
        let connected = Self { client, statements: HashMap::new(), driver, is_doubtful };
        connected.client.batch_execute(&schema::settings(&target.schema)).await.map_err(failed)?;
        if purpose == Purpose::News {
            let channel = schema::channel(&target.schema);
            connected.client.batch_execute(&format!("LISTEN \"{channel}\"")).await.map_err(failed)?;
        }
        Ok(connected)
    }

    /// Runs statements without parameters and without results.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        self.client.batch_execute(sql).await.map_err(failed)
    }

    /// Commits the open transaction. If somebody has cancelled the server's wait for its standby, nobody knows whether the
    /// commit would survive a failover: that counts as a failure, and the entry of the log is read again.
    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        self.batch("COMMIT").await?;
        match self.is_doubtful.load(Ordering::SeqCst) {
            true => Err(StoreError("the server did not wait for its standby".to_owned())),
            false => Ok(()),
        }
    }

    /// The rows of a query.
    pub(super) async fn query(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, parameters).await.map_err(failed)
    }

    /// The only row of a query.
    pub(super) async fn one(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<Row, StoreError> {
        let statement = self.statement(sql).await?;
        self.client.query_one(&statement, parameters).await.map_err(failed)
    }

    /// Changes rows; returns how many.
    pub(super) async fn execute(&mut self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, StoreError> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, parameters).await.map_err(failed)
    }

    async fn statement(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await.map_err(failed)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

async fn open<T>(
    target: &Target,
    tls: T,
    news: UnboundedSender<String>,
    is_doubtful: Arc<AtomicBool>,
) -> Result<(Client, JoinHandle<()>), StoreError>
where
    T: MakeTlsConnect<Socket> + Clone,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, mut connection) = target.config.connect(tls).await.map_err(failed)?;
    let driver = tokio::spawn(async move {
        // It ends when the server closes the connection, or when the client is dropped.
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                AsyncMessage::Notification(notification) if news.send(notification.payload().to_owned()).is_err() => {
                    return;
                }
                AsyncMessage::Notice(notice) if DOUBTS.contains(notice.code()) => {
                    is_doubtful.store(true, Ordering::SeqCst);
                }
                _ => {}
            }
        }
    });
    Ok((client, driver))
}

/// The error in the words of the server, which are the more telling ones.
pub(super) fn failed(error: tokio_postgres::Error) -> StoreError {
    let text = match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => {
            std::error::Error::source(&error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
        }
    };
    StoreError(text)
}
