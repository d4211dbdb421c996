#!/usr/bin/env bash
# Builds the transmitter of signals that is not ours: see Cargo.toml. It has a target folder and a lock file of its own.
set -euo pipefail
cd "$(dirname "$0")"
echo '» building the transmitter of easyssf-test'
exec cargo build --quiet --locked
