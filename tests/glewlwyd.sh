#!/usr/bin/env bash
# Gets Debian's glewlwyd: unpacks its packages and their missing dependencies in dist/glewlwyd. Nothing is installed, so no
# service is set up or started. An installed glewlwyd is used as it is.
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
command -v apt-get >/dev/null || skip 'which is not installed; there is no apt-get to fetch it'

# Unpacks everything. The directory gets its final name only when it is complete.
fetch() {
  local packages
  packages=$(apt-get --simulate --no-install-recommends install glewlwyd dbconfig-no-thanks | sed -n 's/^Inst \([^ ]*\).*/\1/p')
  [ -n "$packages" ] || return
  rm -rf "$root.part"
  mkdir -p "$root.part/packages"
  # shellcheck disable=SC2086
  (cd "$root.part/packages" && apt-get --quiet download $packages) || return
  local package
  for package in "$root.part"/packages/*.deb; do dpkg-deb --extract "$package" "$root.part" || return; done
  rm -rf "$root.part/packages"
  mv "$root.part" "$root"
}

# The package lists may be missing or outdated. Only root can update them.
renew() {
  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  "${as_root[@]}" apt-get --quiet update
}

echo "» fetching Debian's glewlwyd" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! fetch >"$log" 2>&1 && ! { renew && fetch; } >>"$log" 2>&1; then
  tail -n 5 "$log" >&2
  skip 'which is not installed; apt-get could not fetch it'
fi
[ -f "$root/$schema" ] || skip 'whose package has unexpected contents'
