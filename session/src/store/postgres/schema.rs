//! The tables in the database, and the settings of each connection.

/// The layout of the tables and the format of the log. A version refuses a layout that it does not know.
pub(super) const LAYOUT: i32 = 8;

/// The oldest layout that the statements of [`sql`] bring to this one. Layout 1 has no table of received
/// signals, layout 2 no attributes and no held signals among its rules, and no secret; layout 3 has no counts of what is
/// used, layout 4 no requests for access, layout 5 no grants for one request and no names of those who have made a rule,
/// layout 6 no proofs of possession, and layout 7 no refresh families.
pub(super) const LAYOUT_MIN: i32 = 1;

/// How long a transaction may wait for its client: a replica that is stopped in the middle of one would hold up the
/// commits of all others.
const IDLE_MS: u32 = 1_000;

/// How long a statement may take, and wait for a lock.
const STATEMENT_MS: u32 = 10_000;
const LOCK_MS: u32 = 3_500;

/// The statements that make what is missing, for a database user who may: the service runs them itself where it can.
pub fn sql(schema: &str) -> String {
    format!(
        "\
CREATE SCHEMA IF NOT EXISTS \"{schema}\";
SET search_path TO \"{schema}\";
-- One row. Every commit locks it: the order of commits is the order of the log.
CREATE TABLE IF NOT EXISTS meta (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  id text NOT NULL,
  layout integer NOT NULL,
  head bigint NOT NULL
);
INSERT INTO meta (id, layout, head)
  VALUES (substr(replace(gen_random_uuid()::text, '-', ''), 17), {LAYOUT}, 0) ON CONFLICT DO NOTHING;
-- What digests are keyed with.
ALTER TABLE meta ADD COLUMN IF NOT EXISTS secret text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', '');
-- What each commit has changed, for the other replicas.
CREATE TABLE IF NOT EXISTS log (
  n bigint PRIMARY KEY,
  tag bigint NOT NULL,
  run text NOT NULL,
  format integer NOT NULL,
  clock_lead_ms bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  changes bytea NOT NULL
);
-- `serve_lease_ms` is for how long a replica is waited for: its serve lease and, after that, its longest lease for filters.
CREATE TABLE IF NOT EXISTS replicas (
  run text PRIMARY KEY,
  name text NOT NULL,
  version text NOT NULL,
  settled bigint NOT NULL,
  serve_lease_ms bigint NOT NULL,
  beat bigint NOT NULL,
  beaten_at timestamptz NOT NULL,
  clock_lead_ms bigint NOT NULL
) WITH (fillfactor = 50);
-- Live sessions. The instants that move all the time stand beside the record, and count where they are later.
CREATE TABLE IF NOT EXISTS sessions (
  id bytea PRIMARY KEY,
  record bytea NOT NULL,
  last_seen_ms bigint NOT NULL,
  login_at_ms bigint NOT NULL,
  authenticated_ms bigint NOT NULL,
  issued_ms bigint NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE IF NOT EXISTS tombstones (
  id bytea PRIMARY KEY,
  record bytea NOT NULL
);
CREATE TABLE IF NOT EXISTS rules (
  kind text NOT NULL,
  party bytea NOT NULL,
  rule bytea NOT NULL,
  PRIMARY KEY (kind, party)
);
-- Signals that were received.
CREATE TABLE IF NOT EXISTS received (id text PRIMARY KEY, until_ms bigint NOT NULL);
CREATE INDEX IF NOT EXISTS received_until ON received (until_ms);
-- Proofs of possession that were used. Those that have ended are dropped.
CREATE TABLE IF NOT EXISTS proofs (id bytea PRIMARY KEY, asker bigint NOT NULL, until_ms bigint NOT NULL)
  WITH (fillfactor = 90);
CREATE INDEX IF NOT EXISTS proofs_until ON proofs (until_ms);
-- Refresh families. What they say is sealed; a version is written only over the one that its writer has read.
CREATE TABLE IF NOT EXISTS families (
  id bytea PRIMARY KEY,
  version bigint NOT NULL,
  until_ms bigint NOT NULL,
  is_ended boolean NOT NULL,
  sealed bytea NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS families_until ON families (until_ms);
CREATE INDEX IF NOT EXISTS families_ended ON families (id) WHERE is_ended;
-- What is used, by day, scope (kind 0) or route (kind 1), and client. Every replica adds to the same rows.
CREATE TABLE IF NOT EXISTS used (
  day bigint NOT NULL,
  kind smallint NOT NULL,
  name bytea NOT NULL,
  client bytea NOT NULL,
  asked bigint NOT NULL,
  granted bigint NOT NULL,
  refused bigint NOT NULL,
  last_ms bigint NOT NULL,
  PRIMARY KEY (day, kind, name, client)
) WITH (fillfactor = 70);
UPDATE meta SET layout = {LAYOUT} WHERE layout BETWEEN {LAYOUT_MIN} AND {LAYOUT};
CREATE TABLE IF NOT EXISTS issuers (name bytea PRIMARY KEY, issuer bytea NOT NULL);
CREATE TABLE IF NOT EXISTS leads (issuer bytea PRIMARY KEY, lead_ms bigint NOT NULL);
"
    )
}

/// Several replicas may start at once: one makes the tables, the others wait for it.
pub(super) fn create(schema: &str) -> String {
    format!("BEGIN; SELECT pg_advisory_xact_lock(hashtext('portcullis {schema}')); {} COMMIT;", sql(schema))
}

/// The settings of a connection. What is answered is on disk, here and where the server waits for a standby: a server that
/// is set to answer sooner is overruled.
pub(super) fn settings(schema: &str) -> String {
    format!(
        "\
SET search_path TO \"{schema}\";
SET default_transaction_isolation = 'read committed';
SET tcp_user_timeout = {IDLE_MS};
SET idle_in_transaction_session_timeout = {IDLE_MS};
SET statement_timeout = {STATEMENT_MS};
SET lock_timeout = {LOCK_MS};
SET client_min_messages = warning;
SELECT set_config('synchronous_commit', 'on', false)
  WHERE current_setting('synchronous_commit') IN ('off', 'local');"
    )
}

/// The channel of the notifications between replicas.
pub(super) fn channel(schema: &str) -> String {
    format!("{schema}_news")
}
