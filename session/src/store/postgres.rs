//! The store in PostgreSQL, which several replicas share. Tables hold what is true, and a log tells each replica what
//! the others have changed. One row is locked for each commit, so the order of commits is the order of the log.

mod commit;
mod condition;
mod connect;
mod engine;
mod families;
mod link;
mod open;
mod proofs;
mod read;
mod schema;
mod tables;

pub use condition::Condition;
pub use connect::{Secret, Source, Target, check_schema};
pub use open::Postgres;
pub use schema::sql as schema_sql;
