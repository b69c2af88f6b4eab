#!/usr/bin/env bash
# Builds what a release has, into the folder DIST: for each of TARGETS an archive
# and an SBOM, a Debian package for each Linux one where dpkg-deb is there, and
# SHA256SUMS. The same sources, VERSION and Go give the same bytes, wherever and
# whenever; SOURCE_DATE_EPOCH is the time that files in archives have.
set -euo pipefail
cd "$(dirname "$0")/.."

DIST=${DIST:-dist}
TARGETS=${TARGETS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}
VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
umask 022

rm -rf "$DIST"
mkdir -p "$DIST"
DIST=$(cd "$DIST" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# pack FOLDER ARCHIVE: the folder below $work, whoever builds it and whenever.
pack() {
  tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -cf - "$1" | gzip -n9 >"$2"
}

# debian PROGRAM ARCH
debian() {
  local root=$work/deb-$2 version=${VERSION#v}
  case $version in [0-9]*.[0-9]*) ;; *) version=0~$version ;; esac # a commit is below all releases
  install -D -m 755 "$1" "$root/usr/bin/sluice"
  install -D -m 644 deploy/systemd/sluice.service "$root/lib/systemd/system/sluice.service"
  install -D -m 644 deploy/systemd/sluice.socket "$root/lib/systemd/system/sluice.socket"
  install -D -m 644 deploy/systemd/sluice.sysusers "$root/usr/lib/sysusers.d/sluice.conf"
  install -D -m 644 deploy/debian/sluice.yaml "$root/etc/sluice/sluice.yaml"
  install -D -m 644 deploy/debian/logrotate "$root/etc/logrotate.d/sluice"
  install -D -m 644 README.md "$root/usr/share/doc/sluice/README.md"
  install -D -m 644 LICENSE "$root/usr/share/doc/sluice/copyright"
  mkdir -p "$root/usr/share/doc/sluice" "$root/DEBIAN"
  gzip -n9 <CHANGELOG.md >"$root/usr/share/doc/sluice/changelog.gz"
  sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$2/" deploy/debian/control >"$root/DEBIAN/control"
  printf '%s\n' /etc/sluice/sluice.yaml /etc/logrotate.d/sluice >"$root/DEBIAN/conffiles"
  for script in postinst prerm postrm; do install -m 755 "deploy/debian/$script" "$root/DEBIAN/$script"; done
  find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz --build "$root" "$DIST/sluice_${version}_$2.deb" >/dev/null
}

for target in $TARGETS; do
  os=${target%/*} arch=${target#*/}
  name=sluice-$VERSION-$os-$arch
  mkdir -p "$work/$name"
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o "$work/$name/" ./cmd/sluice ./cmd/echo
  cp LICENSE README.md CHANGELOG.md "$work/$name/"
  go run ./deploy/sbom "$work/$name/sluice" "$VERSION" >"$DIST/$name.cdx.json"
  pack "$name" "$DIST/$name.tar.gz"
  if [ "$os" = linux ] && command -v dpkg-deb >/dev/null; then
    debian "$work/$name/sluice" "$arch"
  fi
done
(cd "$DIST" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
