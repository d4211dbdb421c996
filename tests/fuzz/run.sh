#!/usr/bin/env bash
# Fuzzes each parser for a while: tests/fuzz/run.sh [SECONDS] [TARGET…]. Findings are kept in target/fuzz/found/.
#
# The stable compiler gets the flags of libFuzzer's instrumentation directly, so neither nightly nor a cargo subcommand is needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-20}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(policy token claims statement proof path template places wire conditions)

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
echo '» building the fuzz targets'
RUSTFLAGS="$coverage -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks" cargo build --quiet --profile fuzz \
  --package portcullis-fuzz --target "$host" --target-dir target/fuzz

mkdir -p target/fuzz/found
for target in "${targets[@]}"; do
  echo "» fuzzing $target for $seconds s"
  mkdir -p "target/fuzz/corpus/$target"
  "target/fuzz/$host/fuzz/fuzz-$target" "target/fuzz/corpus/$target" "tests/fuzz/seeds/$target" \
    -artifact_prefix="target/fuzz/found/$target-" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 2>&1 |
    grep -E '^(==|SUMMARY|stat::|#[0-9]+.*DONE|panicked|thread|artifact)|panicked at|Test unit written' || true
  if compgen -G "target/fuzz/found/$target-*" >/dev/null; then
    echo "error: $target fell over an input, see target/fuzz/found/" >&2
    exit 1
  fi
done
