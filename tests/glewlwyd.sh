#!/usr/bin/env bash
# Gets Debian's glewlwyd: unpacks its packages and their missing dependencies in dist/glewlwyd. An installed glewlwyd is
# used as it is.
#
# If glewlwyd is not available, prints the arguments that skip its tests to standard output, and the reason to standard
# error.
set -euo pipefail
cd "$(dirname "$0")/.."
root=dist/glewlwyd
schema=usr/share/dbconfig-common/data/glewlwyd/install/sqlite3

skip() {
  echo "» SKIPPED: the tests beside Debian's glewlwyd, $1" >&2
  echo '--skip glewlwyd'
  exit
}

if [ -f "$root/$schema" ] || [ -f "/$schema" ]; then exit; fi
echo "» fetching Debian's glewlwyd" >&2
tests/debian.sh "$root" glewlwyd dbconfig-no-thanks || skip 'which is not installed and could not be fetched'
[ -f "$root/$schema" ] || skip 'whose package has unexpected contents'
