#!/usr/bin/env bash
# Installs the Debian package in a fresh system below a temporary folder, and looks whether all of it works: the
# programs run, find their plugins and make a cluster, the unit is sound, and a purge leaves nothing.
#
#   host/packaging/debian-check.sh PACKAGE.deb
#
# Needs root and debootstrap. The fresh system is made from this machine's own sources of packages.
set -euo pipefail

package="$(readlink -f "$1")"
say() { printf '%s\n' "$*" >&2; }
[[ "$(id -u)" -eq 0 ]] || { say "only root can make a system of its own"; exit 1; }
command -v debootstrap >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -q debootstrap >&2

. /etc/os-release
# The first source of Debian packages, in either of the two formats.
mirror="$(sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1 || true)"
root="$(mktemp -d /var/tmp/regent-deb.XXXXXX)"
# What would be nobody's root directory is that of users who are not root.
chmod 755 "$root"
inside() { LC_ALL=C.UTF-8 chroot "$root" "$@"; }
clean() { umount -l "$root/proc" 2>/dev/null || true; rm -rf "$root"; }
trap clean EXIT

say "a fresh $VERSION_CODENAME in $root"
debootstrap --variant=minbase "$VERSION_CODENAME" "$root" "$mirror" >"$root.log" 2>&1 || { tail "$root.log" >&2; exit 1; }
rm -f "$root.log"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
mount -t proc proc "$root/proc"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d"
mkdir -p "$root/etc/postgresql-common"
echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"
cp "$package" "$root/regent.deb"
inside apt-get update -q >&2
inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends /regent.deb postgresql systemd >&2

say "what the package holds"
inside dpkg -L regent | sort
inside regent --version
inside regentctl --version
for file in /usr/lib/systemd/system/regent.service /lib/systemd/system/regent.service; do
    if [[ -f "$root$file" ]]; then inside systemd-analyze verify --man=no regent.service; fi
done
test -s "$root/usr/share/man/man1/regentctl-switchover.1.gz"
inside bash -n /usr/share/bash-completion/completions/regentctl
test "$(inside stat -c '%U:%G %a' /etc/regent)" = 'root:postgres 750' -o "$(inside stat -c '%U:%G %a' /etc/regent)" = 'root:root 755'

say "a cluster of one member"
inside install -d -o postgres -g postgres /var/lib/regent
cat >"$root/etc/regent/regent.yml" <<'YAML'
scope: package
name: one
local: {path: /var/lib/regent/store.db}
restapi: {listen: '127.0.0.1:18008', connect_address: '127.0.0.1:18008'}
bootstrap: {dcs: {ttl: 20, loop_wait: 2, retry_timeout: 3}, initdb: [{encoding: UTF8}]}
postgresql:
  listen: 127.0.0.1:15432
  connect_address: 127.0.0.1:15432
  data_dir: /var/lib/regent/data
  pgpass: /var/lib/regent/pgpass
  parameters: {unix_socket_directories: /var/lib/regent, dynamic_shared_memory_type: mmap}
  authentication:
    superuser: {username: postgres, password: example}
    replication: {username: replicator, password: example-too}
YAML
# As the unit starts it.
as_postgres() { inside setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
as_postgres /usr/bin/regent /etc/regent/regent.yml \
    >"$root/var/log/regent.log" 2>&1 &
daemon=$!
led=no
for _ in $(seq 120); do
    if as_postgres regentctl -c /etc/regent/regent.yml list -f tsv 2>/dev/null | grep -q 'Leader.running'; then led=yes; break; fi
    kill -0 "$daemon" 2>/dev/null || break
    sleep 1
done
kill -TERM "$(pgrep -P "$daemon" || echo "$daemon")" 2>/dev/null || true
wait "$daemon" || true
if [[ "$led" != yes ]]; then tail -30 "$root/var/log/regent.log" >&2; exit 1; fi

say "a purge"
inside env DEBIAN_FRONTEND=noninteractive apt-get purge -y -q regent >&2
for left in /usr/bin/regent /usr/bin/regentctl /usr/lib/regent /usr/share/doc/regent; do
    if [[ -e "$root$left" ]]; then say "$left is left"; exit 1; fi
done
test -d "$root/var/lib/regent/data" || { say "the data directory was removed"; exit 1; }
say "the package is good"
