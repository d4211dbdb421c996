//! The subcommands `portcullis-session store …`: what operators do with a store while they look after it.

mod backup;
mod check;
mod contents;
mod file;
mod lines;
mod merge;
mod restore;

use crate::config::{self, StoreSettings};
use crate::store::embedded::Embedded;
use crate::store::postgres::{Postgres, Source, Target, check_schema, schema_sql};
use crate::store::redis::{self, Redis};
use crate::store::{Store, StoreError};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Maintain the store: check it, back it up, restore it, or migrate it
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read everything in the store, and print how much there is and what is damaged
    Check(Config),
    /// Write everything in the store into a file
    Backup {
        /// Where the store is
        #[command(flatten)]
        config: Config,
        /// File to write, readable by its owner only; `-` is standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Put a backup into the store, which must be empty
    Restore {
        /// Where the store is
        #[command(flatten)]
        config: Config,
        /// File that `store backup` wrote
        #[arg(long = "in", value_name = "FILE")]
        input: PathBuf,
        /// How to deal with what is there
        #[command(flatten)]
        options: Options,
    },
    /// Copy an embedded store into the configured store, which must be empty
    Migrate {
        /// Where the store is
        #[command(flatten)]
        config: Config,
        /// Folder of the embedded store
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// How to deal with what is there
        #[command(flatten)]
        options: Options,
    },
    /// Give up a replica that will not come back, so that a failover of Redis does not wait for it
    Forget {
        /// Where the store is
        #[command(flatten)]
        config: Config,
        /// Name of the replica, as `store check` lists it: what only its journal had is lost
        #[arg(long, value_name = "NAME")]
        name: String,
    },
    /// Print the SQL that creates the tables, for a database user who may not create them
    Schema {
        /// Name of the schema, as in `store.postgres.schema`
        #[arg(long, value_name = "NAME", default_value = config::SCHEMA)]
        schema: String,
    },
}

/// The configuration that names the store.
#[derive(Debug, Args)]
pub struct Config {
    /// Configuration file (`session.yaml`)
    #[arg(long = "config", value_name = "FILE")]
    file: PathBuf,
}

/// How records are put into a store.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Options {
    /// Accept a store that is not empty: of two ends, revocations, blocks or narrowings, keep the stricter one
    #[arg(long)]
    merge: bool,
    /// Leave out ended sessions that cannot be read: their tokens may open these sessions again
    #[arg(long)]
    skip_unreadable: bool,
}

/// Why a subcommand did not succeed. The texts are for an operator.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// The configuration or an argument is wrong.
    Invalid(String),
    /// It could not be done, or something is damaged.
    Failed(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.0)
    }
}

/// A store that is there. Its kind matters only for what people are shown.
enum Opened {
    Embedded(Embedded),
    Postgres(Box<Postgres>),
    Redis(Box<Redis>),
}

impl Opened {
    fn store(&self) -> &dyn Store {
        match self {
            Self::Embedded(store) => store,
            Self::Postgres(store) => &**store,
            Self::Redis(store) => &**store,
        }
    }

    /// Whether others may write while it is read.
    fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

/// Opens the configured store, as the service does at its start. With `adopt`, an empty Redis gets what the journal has.
pub fn open(settings: &StoreSettings, adopt: bool) -> Result<std::sync::Arc<dyn Store>, StoreError> {
    Ok(match settings {
        StoreSettings::Redis(source, _) => std::sync::Arc::new(Redis::open(source, adopt)?),
        StoreSettings::Embedded(folder) => std::sync::Arc::new(Embedded::open(folder)?),
        StoreSettings::Postgres(source, _) => std::sync::Arc::new(Postgres::open(&target(source)?)?),
    })
}

/// Runs a subcommand, and prints its result.
pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Check(config) => check::run(&settings(config)?),
        Command::Backup { config, out } => backup::run(&open_existing(&settings(config)?)?, out),
        Command::Restore { config, input, options } => {
            let settings = settings(config)?;
            // Read to its end first: a store that is made for a file that cannot be restored would be in the way.
            let backup = file::Backup::open(input)?;
            restore::from_file(&backup, &*open_to_fill(&settings)?, *options)
        }
        Command::Migrate { config, from, options } => migrate(&settings(config)?, from, *options),
        Command::Forget { config, name } => match settings(config)? {
            StoreSettings::Redis(source, _) => Ok(redis::forget(&source, name)?),
            StoreSettings::Embedded(_) | StoreSettings::Postgres(..) => {
                Err(Failure::Invalid("only replicas that share a store in Redis wait for each other".to_owned()))
            }
        },
        Command::Schema { schema } => {
            check_schema(schema).map_err(|fault| Failure::Invalid(format!("--schema: {fault}")))?;
            print!("{}", schema_sql(schema));
            Ok(())
        }
    }
}

fn migrate(settings: &StoreSettings, from: &Path, options: Options) -> Result<(), Failure> {
    if matches!(settings, StoreSettings::Embedded(folder) if is_same(folder, from)) {
        let shown = from.display();
        return Err(Failure::Invalid(format!(
            "--from: `{shown}` is the configured store itself: configure the new one"
        )));
    }
    let source = Embedded::open_existing(from)?;
    restore::from_store(&source, &*open_to_fill(settings)?, options)
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(one, other)| one == other)
}

fn settings(config: &Config) -> Result<StoreSettings, Failure> {
    config::load(&config.file).map(|settings| settings.store).map_err(|faults| Failure::Invalid(faults.to_string()))
}

fn target(source: &Source) -> Result<Target, StoreError> {
    Target::read(source).map_err(|fault| StoreError(format!("store.postgres.{fault}")))
}

/// Opens the configured store to put something into it, and makes it if there is none.
fn open_to_fill(settings: &StoreSettings) -> Result<std::sync::Arc<dyn Store>, StoreError> {
    match settings {
        StoreSettings::Redis(source, _) => Ok(std::sync::Arc::new(Redis::visit(source, true)?)),
        StoreSettings::Embedded(_) | StoreSettings::Postgres(..) => open(settings, false),
    }
}

fn open_existing(settings: &StoreSettings) -> Result<Opened, StoreError> {
    Ok(match settings {
        StoreSettings::Embedded(folder) => Opened::Embedded(Embedded::open_existing(folder)?),
        StoreSettings::Postgres(source, _) => Opened::Postgres(Box::new(Postgres::open_existing(&target(source)?)?)),
        // Its copy was made at one moment, and nobody else writes into it.
        StoreSettings::Redis(source, _) => Opened::Redis(Box::new(Redis::visit(source, false)?)),
    })
}

#[cfg(test)]
mod tests;
