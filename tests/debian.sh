#!/usr/bin/env bash
# Unpacks Debian packages, and those of their dependencies that are not installed, in a directory. Nothing is installed, so
# no service is set up or started. Fails, with the reason on standard error, where that cannot be done.
#
#   tests/debian.sh DIRECTORY PACKAGE…
set -euo pipefail
root=$1
shift

if ! command -v apt-get >/dev/null; then
  echo 'there is no apt-get' >&2
  exit 1
fi

# Unpacks everything. The directory gets its final name only when it is complete.
fetch() {
  local packages package
  packages=$(apt-get --simulate --no-install-recommends install "$@" | sed -n 's/^Inst \([^ ]*\).*/\1/p')
  [ -n "$packages" ] || return
  rm -rf "$root.part"
  mkdir -p "$root.part/packages"
  # shellcheck disable=SC2086
  (cd "$root.part/packages" && apt-get --quiet download $packages) || return
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

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! fetch "$@" >"$log" 2>&1 && ! { renew && fetch "$@"; } >>"$log" 2>&1; then
  tail -n 5 "$log" >&2
  exit 1
fi
