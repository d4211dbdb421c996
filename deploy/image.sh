#!/usr/bin/env bash
# Makes two images of what is in dist/, each an OCI layout:
#
#   dist/images/portcullis          the filter, as Istio and Envoy Gateway load it: one layer, which holds `plugin.wasm`
#   dist/images/portcullis-session  the session service: its program, the libraries that it loads, and nothing else
#
# The same dist/ makes the same images. Another directory than dist/images can be given.
set -euo pipefail
cd "$(dirname "$0")/.."
images=${1:-dist/images}
service=dist/portcullis-session
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
created=$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)
# The user of the service. It owns the folder of the store, and nothing else.
user=65532
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

umoci() { deploy/tools.sh run umoci "$@"; }

# Writes an archive in which neither times nor the builder's users appear.
archive() {
  tar --sort=name --mtime="@$epoch" --format=gnu --numeric-owner "$@"
}

# An image with one layer. The other arguments are its configuration.
image() {
  local name=$1 layer=$2
  local layout=$images/$name
  local image=$layout:$version
  rm -rf "$layout"
  umoci init --layout "$layout"
  umoci new --image "$image"
  umoci raw add-layer --image "$image" --history.created "$created" --history.created_by deploy/image.sh "$layer"
  umoci config --image "$image" --no-history --created "$created" "${@:3}" \
    --manifest.annotation "org.opencontainers.image.created=$created" \
    --manifest.annotation "org.opencontainers.image.version=$version" \
    --manifest.annotation org.opencontainers.image.licenses=Apache-2.0
  umoci gc --layout "$layout" # what the steps before the last have left
  echo "  $layout: $(du -bsh "$layout" | cut -f 1), $(grep -o 'sha256:[0-9a-f]*' "$layout/index.json")"
}

# The loader compares the whole name: `plugin.wasm`, not `./plugin.wasm`.
module() {
  install -D -m 644 dist/portcullis.wasm "$scratch/module/plugin.wasm"
  archive --owner=0 --group=0 -C "$scratch/module" -cf "$scratch/module.tar" plugin.wasm
  image portcullis "$scratch/module.tar" \
    --manifest.annotation 'org.opencontainers.image.title=Portcullis, the filter'
}

# A library of this machine, and for vulnerability scanners the package that it belongs to.
library() {
  local path=$1 package
  install -D -m 755 "$path" "$root$path"
  package=$(dpkg-query --search "$path" "/usr$path" 2>/dev/null | sed -n '1s/: .*//p') || true
  [ -n "$package" ] || return 0
  mkdir -p "$root/var/lib/dpkg/status.d"
  dpkg-query --status "$package" >"$root/var/lib/dpkg/status.d/${package%%:*}"
  install -D -m 644 "/usr/share/doc/${package%%:*}/copyright" "$root/usr/share/doc/${package%%:*}/copyright"
}

session() {
  local root=$scratch/root path
  install -D -m 755 "$service" "$root/usr/bin/portcullis-session"
  install -D -m 644 LICENSE "$root/usr/share/doc/portcullis-session/copyright"
  while read -r path; do library "$path"; done < <(ldd "$service" | grep -o '/[^ ]*')
  install -m 755 -d "$root/etc/portcullis"
  echo "portcullis:x:$user:$user::/nonexistent:/nonexistent" >"$root/etc/passwd"
  echo "portcullis:x:$user:" >"$root/etc/group"
  chmod -R u=rwX,go=rX "$root"
  (cd "$root" && archive --owner=0 --group=0 -cf "$scratch/session.tar" -- *)
  install -m 700 -d "$root/var/lib/portcullis"
  archive --owner=$user --group=$user -C "$root" -rf "$scratch/session.tar" var/lib/portcullis
  image portcullis-session "$scratch/session.tar" \
    --config.user "$user:$user" \
    --config.entrypoint /usr/bin/portcullis-session \
    --config.cmd --config --config.cmd /etc/portcullis/session.yaml \
    --config.volume /var/lib/portcullis \
    --config.exposedports 7070/tcp --config.exposedports 7071/tcp \
    --config.stopsignal SIGTERM \
    --manifest.annotation 'org.opencontainers.image.title=Portcullis, the session service'
}

mkdir -p "$images"
echo '» making the images'
module
session
