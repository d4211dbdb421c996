#!/usr/bin/env bash
# Gets PostgreSQL: unpacks Debian's packages and their missing dependencies in dist/postgresql. An installed one, of version 15
# or newer, is used as it is.
#
# If PostgreSQL is not available, prints the arguments that skip its tests to standard output, and the reason to standard
# error.
#
#   tests/postgres.sh run COMMAND…
#
# runs a command beside a server of its own, whose URL is in PORTCULLIS_TEST_POSTGRES, and stops the server. Its data is in a
# temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
root=dist/postgresql

skip() {
  echo "» SKIPPED: the tests of replicas over PostgreSQL, $1" >&2
  echo '--skip replicas --skip postgres'
  exit
}

# The newest programs under a directory.
programs() {
  find "$1/usr/lib/postgresql" -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1 || true
}

fetch() {
  if [ -n "$(programs "$root")" ] || [ -n "$(programs '')" ]; then return; fi
  echo "» fetching Debian's PostgreSQL" >&2
  tests/debian.sh "$root" postgresql || skip 'which is not installed and could not be fetched'
  [ -n "$(programs "$root")" ] || skip 'whose package has unexpected contents'
}

# PostgreSQL refuses to run as root. Where nobody cannot reach the checkout, root is called nobody instead.
choose_user() {
  as=()
  [ "$(id -u)" = 0 ] || return 0
  as=(setpriv --reuid 65534 --regid 65534 --clear-groups --)
  if "${as[@]}" test -x "$bin/postgres" 2>/dev/null; then
    chown 65534:65534 "$folder"
  else
    as=(unshare --user --map-user 65534 --map-group 65534 --)
  fi
}

stop() {
  if [ -n "$server" ]; then
    kill -INT "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  rm -rf "$folder"
}

is_up() {
  "${as[@]}" "$bin/pg_isready" --quiet --host=127.0.0.1 --port="$port"
}

run() {
  local initdb libraries
  initdb=$(programs "$root")
  [ -n "$initdb" ] || initdb=$(programs '')
  [ -n "$initdb" ] || { echo 'there is no PostgreSQL: run tests/postgres.sh first' >&2; exit 1; }
  bin=$(realpath "$(dirname "$initdb")")
  libraries=$(find "$PWD/$root/usr/lib" -maxdepth 1 -name '*-linux-gnu' 2>/dev/null | head -n 1 || true)
  server=''
  folder=$(mktemp -d --tmpdir postgres-XXXXXX)
  trap stop EXIT
  choose_user
  [ -z "$libraries" ] || as=(env "LD_LIBRARY_PATH=$libraries" "${as[@]}")
  (cd "$folder" && "${as[@]}" "$bin/initdb" --auth=trust --username=portcullis --encoding=UTF8 --no-locale --no-sync \
    -D "$folder/data") >"$folder/log"
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  # The shell is replaced, so the id is the server's own.
  (cd "$folder" && exec "${as[@]}" "$bin/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c max_connections=200) >>"$folder/log" 2>&1 &
  server=$!
  for _ in $(seq 300); do
    if is_up; then break; fi
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
  done
  is_up || { cat "$folder/log" >&2; exit 1; }
  PORTCULLIS_TEST_POSTGRES=postgres://portcullis@127.0.0.1:$port/postgres "$@"
}

case ${1-} in
  '') fetch ;;
  run) shift && run "$@" ;;
  *) echo 'usage: tests/postgres.sh [run COMMAND…]' >&2 && exit 2 ;;
esac
