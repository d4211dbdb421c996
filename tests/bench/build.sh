#!/usr/bin/env bash
# Builds what only the bench needs: target/bench/noop.wasm, with the filter's compiler and profile.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=filter/toolchain.sh
source filter/toolchain.sh
# shellcheck disable=SC2119 # its argument is optional
use_wasm_toolchain
# shellcheck disable=SC2154 # set by toolchain.sh
"${cargo[@]}" build --quiet --profile wasm --target "$target" --package portcullis-bench-noop --target-dir target/wasm "${std[@]}"
mkdir -p target/bench
command install -m 644 "target/wasm/$target/wasm/portcullis_bench_noop.wasm" target/bench/noop.wasm
