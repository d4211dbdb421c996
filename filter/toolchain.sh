# Sourced from the root of the repository by what builds a package for wasm: filter/build.sh and tests/bench/build.sh.
# Sets `cargo`, `target`, `std`, `flags` and `debian`, after `use_wasm_toolchain [clippy]`.
#
# Where rustup has the target or can get it, `cargo` is plain cargo. Where rustup can't reach its server, Debian's own
# Rust for WebAssembly is used, and the standard library is built from its sources.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2054 # the scripts that source this read the variables; the comma belongs to the option

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

use_wasm_toolchain() {
  have_rustup_target || use_debian "${1:-}"
  export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="${flags[*]}"
}
