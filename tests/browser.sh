#!/usr/bin/env bash
# Gets a Chromium for the tests with a real browser: the one on the PATH, else Debian's. If there is none, prints the arguments
# that skip its tests to standard output, and the reason to standard error.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null && "$name" --version >/dev/null 2>&1; then exit; fi
done

skip() {
  echo "» SKIPPED: the tests with a real browser, $1" >&2
  echo '--skip browser::'
  exit
}

command -v apt-get >/dev/null || skip 'there is no Chromium, and no apt-get to fetch it'
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
echo "» installing Debian's chromium" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { "${as_root[@]}" apt-get --quiet --yes --no-install-recommends install chromium; }
# The package lists may be missing or outdated.
if ! install >"$log" 2>&1 && ! { "${as_root[@]}" apt-get --quiet update && install; } >>"$log" 2>&1; then
  tail -n 5 "$log" >&2
  skip 'apt-get could not install chromium'
fi
chromium --version >/dev/null 2>&1 || skip 'the package chromium has no browser that runs'
