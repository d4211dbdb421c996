#!/usr/bin/env bash
# Gets Redis: unpacks Debian's packages and their missing dependencies in dist/redis. An installed one, of version 7 or newer, is
# used as it is.
#
# If Redis is not available, prints the arguments that skip its tests to standard output, and the reason to standard error.
#
#   tests/redis.sh run COMMAND…
#
# runs a command beside a server of its own, whose URL is in PORTCULLIS_TEST_REDIS, and stops the server. Its data is in a
# temporary folder. PORTCULLIS_TEST_REDIS_SERVER is the program, for tests that start servers themselves.
set -euo pipefail
cd "$(dirname "$0")/.."
root=dist/redis

skip() {
  echo "» SKIPPED: the tests of replicas over Redis, $1" >&2
  echo '--skip redis'
  exit
}

program() {
  if [ -x "$root/usr/bin/redis-server" ]; then
    echo "$PWD/$root/usr/bin/redis-server"
  else
    command -v redis-server || true
  fi
}

fetch() {
  if [ -n "$(program)" ]; then return; fi
  echo "» fetching Debian's Redis" >&2
  tests/debian.sh "$root" redis-server || skip 'which is not installed and could not be fetched'
  [ -n "$(program)" ] || skip 'whose package has unexpected contents'
}

stop() {
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  rm -rf "$folder"
}

is_up() {
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

run() {
  local libraries
  PORTCULLIS_TEST_REDIS_SERVER=$(program)
  export PORTCULLIS_TEST_REDIS_SERVER
  [ -n "$PORTCULLIS_TEST_REDIS_SERVER" ] || { echo 'there is no Redis: run tests/redis.sh first' >&2; exit 1; }
  libraries=$(find "$PWD/$root/usr/lib" -maxdepth 1 -name '*-linux-gnu' 2>/dev/null | head -n 1 || true)
  [ -z "$libraries" ] || export LD_LIBRARY_PATH="$libraries"
  server=''
  folder=$(mktemp -d --tmpdir redis-XXXXXX)
  trap stop EXIT
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$PORTCULLIS_TEST_REDIS_SERVER" --port "$port" --bind 127.0.0.1 --dir "$folder" --appendonly yes --save '' \
    >"$folder/log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    if is_up; then break; fi
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
  done
  is_up || { cat "$folder/log" >&2; exit 1; }
  PORTCULLIS_TEST_REDIS=redis://127.0.0.1:$port "$@"
}

case ${1-} in
  '') fetch ;;
  run) shift && run "$@" ;;
  *) echo 'usage: tests/redis.sh [run COMMAND…]' >&2 && exit 2 ;;
esac
