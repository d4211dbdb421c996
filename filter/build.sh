#!/usr/bin/env bash
# Builds the filter for Envoy: dist/portcullis.wasm. `filter/build.sh clippy` lints it for the same target.
# The compiler is found by filter/toolchain.sh.
set -euo pipefail
cd "$(dirname "$0")/.."

bytes_max=$((1536 * 1024))
# shellcheck source=filter/toolchain.sh
source filter/toolchain.sh
use_wasm_toolchain "${1:-}"
options=(--profile wasm --target "$target" --package portcullis-filter --target-dir target/wasm)

if [ "${1:-}" = clippy ]; then
  lint=("${cargo[@]}" clippy)
  if [ $debian -eq 1 ]; then
    # Debian's cargo would look for subcommands in ~/.cargo/bin first, and find rustup's.
    export CARGO=/usr/bin/cargo
    lint=(/usr/bin/cargo-clippy clippy)
  fi
  exec "${lint[@]}" "${options[@]}" "${std[@]}" --lib -- -D warnings
fi

echo "» building the filter for $target$([ -d "target/wasm/$target" ] || echo ': this takes some minutes the first time')"
"${cargo[@]}" build "${options[@]}" "${std[@]}"
built="target/wasm/$target/wasm/portcullis_filter.wasm"
# Held before it is optimized: it must fit on machines without wasm-opt, too.
bytes=$(wc -c <"$built")
if [ "$bytes" -ge $bytes_max ]; then
  echo "error: $built has $bytes bytes, and may have $((bytes_max - 1)) at most" >&2
  exit 1
fi
optimized=' (not optimized: wasm-opt, Debian'"'"'s package binaryen, is not there)'
# Binaryen makes the module smaller by a ninth, and its part of a request quicker by a tenth. What rustc uses, it must be told of.
if command -v wasm-opt >/dev/null; then
  wasm-opt -O3 --enable-bulk-memory --enable-multivalue --enable-mutable-globals --enable-nontrapping-float-to-int \
    --enable-reference-types --enable-sign-ext "$built" -o "$built.optimized"
  built="$built.optimized"
  optimized=''
fi
mkdir -p dist
command install -m 644 "$built" dist/portcullis.wasm
echo "  dist/portcullis.wasm: $(wc -c <dist/portcullis.wasm) bytes$optimized"
