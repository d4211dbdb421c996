#!/usr/bin/env bash
# Gets what the bench needs: the load generators wrk and h2load, and wasm-opt for the filter. Uses those on the PATH, or else
# installs Debian's packages.
set -euo pipefail

missing=()
command -v wrk >/dev/null || missing+=(wrk)
command -v h2load >/dev/null || missing+=(nghttp2-client)
command -v wasm-opt >/dev/null || missing+=(binaryen)
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "error: the bench needs wrk, h2load and wasm-opt on the PATH, and there is no apt-get to install: ${missing[*]}" >&2
  exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "» installing Debian's packages: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
