#!/usr/bin/env bash
# Gets django-oauth-toolkit from PyPI: unpacks its wheels and those that it needs in dist/oauth-toolkit.
#
# If it is not available for this machine's Python, prints the arguments that skip its tests to standard output, and the
# reason to standard error.
set -euo pipefail
cd "$(dirname "$0")/.."
root=dist/oauth-toolkit

is_there() {
  PYTHONPATH=$root python3 -c 'import cryptography.x509, django, jwcrypto.jwk, oauth2_provider, requests' 2>/dev/null
}

skip() {
  echo "» SKIPPED: the tests beside django-oauth-toolkit, $1" >&2
  echo '--skip oauth_toolkit'
  exit
}

if is_there; then exit; fi
echo '» fetching django-oauth-toolkit' >&2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
envoy/pip.sh tests/oauth-toolkit/requirements.txt "$scratch" >&2 || skip 'which could not be fetched'
rm -rf "$root"
python3 - "$root" "$scratch"/*.whl <<'PYTHON'
import sys, zipfile
root, *wheels = sys.argv[1:]
for wheel in wheels:
    zipfile.ZipFile(wheel).extractall(root)
PYTHON
is_there || skip 'which this Python cannot load'
