#!/usr/bin/env bash
# Builds the filter for Envoy: dist/portcullis.wasm. `filter/build.sh clippy` lints it for the same target.
#
# Where rustup has the target or can get it, this is a plain cargo build. Where rustup can't reach its server,
# Debian's own Rust for WebAssembly is used, and the standard library is built from its sources.
set -euo pipefail
cd "$(dirname "$0")/.."

bytes_max=$((1024 * 1024))
target=wasm32-wasip1
packages=(rustc-web cargo-web rust-web-src lld-19 wasi-libc)
debian=0
cargo=(cargo)
std=()
# The profile's `strip` leaves the names of functions in a wasm module; the linker's own does not. Less inlining makes the
# module smaller by a twentieth.
flags=(-C link-arg=--strip-all -C llvm-args=-inline-threshold=25)

have_rustup_target() {
  command -v rustup >/dev/null || return 1
  rustup target list --installed 2>/dev/null | grep -qx "$target" && return 0
  # Asked once per checkout and compiler: an unreachable server costs a minute each time.
  local asked="target/wasm/rustup-has-no-target"
  [ -e "$asked" ] && [ "$(cat "$asked")" = "$(rustc --version)" ] && return 1
  echo "» adding the target $target with rustup"
  timeout 60 rustup target add "$target" >/dev/null 2>&1 && return 0
  mkdir -p target/wasm && rustc --version >"$asked"
  return 1
}

install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local root=()
  [ "$(id -u)" -eq 0 ] || root=(sudo)
  echo "» rustup can't get $target; installing Debian's packages: ${missing[*]}"
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

use_debian() {
  if ! command -v apt-get >/dev/null; then
    echo "error: rustup can't get the target $target, and there is no apt-get to install Debian's: ${packages[*]}" >&2
    exit 1
  fi
  [ "${1:-}" = clippy ] && packages+=(rust-web-clippy)
  install "${packages[@]}"
  debian=1
  export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
  export CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld-19
  flags+=(-C linker-flavor=wasm-ld -C link-self-contained=no -L native=/usr/lib/wasm32-wasi)
  # rustup's own variables would lead this cargo back to rustup's compiler.
  unset RUSTUP_TOOLCHAIN RUSTDOC CARGO
  cargo=(/usr/bin/cargo)
  std=(-Z build-std=std,panic_abort)
}

have_rustup_target || use_debian "${1:-}"

export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="${flags[*]}"
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
mkdir -p dist
command install -m 644 "target/wasm/$target/wasm/portcullis_filter.wasm" dist/portcullis.wasm
bytes=$(wc -c <dist/portcullis.wasm)
if [ "$bytes" -ge $bytes_max ]; then
  echo "error: dist/portcullis.wasm has $bytes bytes, and may have $((bytes_max - 1)) at most" >&2
  exit 1
fi
echo "  dist/portcullis.wasm: $bytes bytes"
