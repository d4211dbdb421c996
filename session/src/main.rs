//! The program of the session service: it only wires the library up.

use clap::{Parser, Subcommand};
use portcullis_session::audit_log::AuditLog;
use portcullis_session::clock::Clock;
use portcullis_session::config::{self, CredentialFiles, Settings};
use portcullis_session::log::Log;
use portcullis_session::store_tool::{self, Failure};
use portcullis_session::{Listeners, run};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How long the last lines may take to be read.
const LOG_DRAIN_MAX: Duration = Duration::from_secs(2);

/// How often the files of credentials are looked at.
const CREDENTIAL_FILES_INTERVAL: Duration = Duration::from_secs(2);

const HELP: &str = "\
SIGHUP reloads admins, credentials, certificates, signing keys, approval rules and conditions;
SIGTERM stops the service after at most 2 s.

Exit codes:
  0  stopped by SIGTERM or SIGINT, the configuration is valid, or a command succeeded
  1  failure
  2  invalid configuration or arguments

Examples:
  portcullis-session --config session.yaml --check
  portcullis-session --config session.yaml
  portcullis-session store check --config session.yaml";

/// The Portcullis session service: decides on every request whether the session behind its token is still active
#[derive(Parser)]
#[command(name = "portcullis-session", version, after_help = HELP)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    /// Configuration file (`session.yaml`)
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Check the configuration, with the credentials, certificates and conditions that it names, and exit
    #[arg(long)]
    check: bool,
    /// Give an empty Redis what this replica's journal has: after Redis has lost everything
    #[arg(long)]
    adopt: bool,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    #[command(subcommand)]
    Store(store_tool::Command),
}

/// The exit codes of the program. Unknown arguments exit with `2` as well.
enum Exit {
    Done,
    Failed,
    Misconfigured,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Misconfigured => Self::from(2),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Task::Store(command)) = &args.task {
        return look_after(command).into();
    }
    // Required without a subcommand.
    let file = args.config.unwrap_or_default();
    let settings = match config::load(&file) {
        Ok(settings) => settings,
        Err(faults) => {
            eprintln!("{faults}");
            return Exit::Misconfigured.into();
        }
    };
    if args.check {
        for warning in &settings.warnings {
            eprintln!("{}: warning: {warning}", file.display());
        }
        println!("{}: ok", file.display());
        return Exit::Done.into();
    }
    let log = match Log::start(std::io::stdout()) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("cannot start the log's thread: {error}");
            return Exit::Failed.into();
        }
    };
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(log.clone());
    let audit = AuditLog::default();
    let tap = settings.audit.as_ref().map(|file| audit.tap(&file.sample));
    tracing_subscriber::registry().with(LevelFilter::INFO).with(lines).with(tap).init();
    let exit = match serve(&file, settings, &audit, args.adopt) {
        Ok(()) => Exit::Done,
        Err(error) => {
            tracing::error!(%error, "stopped");
            Exit::Failed
        }
    };
    audit.close(LOG_DRAIN_MAX);
    log.close(LOG_DRAIN_MAX);
    exit.into()
}

fn look_after(command: &store_tool::Command) -> Exit {
    match store_tool::run(command) {
        Ok(()) => Exit::Done,
        Err(Failure::Failed(text)) => {
            eprintln!("{text}");
            Exit::Failed
        }
        Err(Failure::Invalid(text)) => {
            eprintln!("{text}");
            Exit::Misconfigured
        }
    }
}

fn serve(config: &Path, settings: Settings, audit: &AuditLog, adopt: bool) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(file) = &settings.audit {
        audit.start(file.clone())?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // First of all: until then, a SIGHUP ends the process.
        let hangup = signal(SignalKind::hangup())?;
        tokio::spawn(reload_on(hangup, config.to_owned(), settings.clone()));
        let signals = match settings.signals_listen {
            None => None,
            Some(address) => Some(bind("signals_listen", address).await?),
        };
        let tokens = match settings.tokens_listen {
            None => None,
            Some(address) => Some(bind("tokens_listen", address).await?),
        };
        let (checks, admin) = (bind("listen", settings.listen).await?, bind("admin", settings.admin).await?);
        let listeners = Listeners { checks, admin, signals, tokens };
        let at = settings.store.clone();
        let store = tokio::task::spawn_blocking(move || store_tool::open(&at, adopt)).await??;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        run(listeners, settings, store, Clock::system(), shutdown).await?;
        Ok(())
    })
}

async fn reload_on(mut hangup: Signal, file: PathBuf, running: Settings) {
    let mut files = CredentialFiles::now(&running);
    loop {
        let is_asked = tokio::select! {
            asked = hangup.recv() => match asked {
                Some(()) => true,
                None => return,
            },
            () = tokio::time::sleep(CREDENTIAL_FILES_INTERVAL) => false,
        };
        tokio::task::block_in_place(|| {
            let have_changed = files.have_changed(&running);
            if have_changed || is_asked {
                let is_read = config::reload(&file, &running);
                // Whoever asks for a reload learns of its faults, and asks again.
                if have_changed || is_read {
                    files.were_read(is_read);
                }
            }
        });
    }
}

async fn bind(at: &str, address: SocketAddr) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|e| format!("{at}: cannot listen on `{address}`: {e}"))
}
