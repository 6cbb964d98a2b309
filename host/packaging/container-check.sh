#!/usr/bin/env bash
# Builds the image of the Containerfile without a registry, and tries it: a member with the variables of the composed
# cluster bootstraps and leads on an etcd of this machine, its health check says yes, and it ends in order.
#
#   host/packaging/container-check.sh FOLDER     the folder of the programs and plugins, such as target/release
#
# Needs root, buildah, debootstrap and etcd. The base image is made from this machine's own sources of packages, and the
# stage that compiles is left out: what it would make is taken from FOLDER. Everything else is run as it is written.
set -euo pipefail

programs="$(readlink -f "$1")"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
say() { printf '%s\n' "$*" >&2; }
[[ "$(id -u)" -eq 0 ]] || { say "only root can make an image here"; exit 1; }
for program in buildah debootstrap etcd; do
    command -v "$program" >/dev/null || { say "$program is not installed"; exit 1; }
done

. /etc/os-release
mirror="$(sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1 || true)"
work="$(mktemp -d /var/tmp/regent-image.XXXXXX)"
build() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
store= daemon=
clean() {
    [[ -z "$daemon" ]] || kill "$daemon" 2>/dev/null || true
    [[ -z "$store" ]] || kill "$store" 2>/dev/null || true
    wait || true
    build rm --all >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean EXIT

say "a base image of $VERSION_CODENAME"
debootstrap --variant=minbase "$VERSION_CODENAME" "$work/base" "$mirror" >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
cp /etc/apt/apt.conf.d/* "$work/base/etc/apt/apt.conf.d/" 2>/dev/null || true
base="$(build from scratch)"
build add -q "$base" "$work/base" / >/dev/null
build commit -q "$base" docker.io/library/debian:bookworm-slim >/dev/null
build rm "$base" >/dev/null
rm -rf "$work/base"

say "the image"
mkdir -p "$work/context/target/release" "$work/context/host/packaging"
cp "$programs"/regent "$programs"/regentctl "$programs"/libregent_dcs_*.so "$work/context/target/release/"
cp -r "$here/container" "$work/context/host/packaging/"
awk '/^FROM .* AS build$/ { print "FROM scratch AS build\nCOPY target/release/ /src/target/release/"; skip = 1; next }
     /^FROM / { skip = 0 } !skip' "$here/container/Containerfile" >"$work/Containerfile"
build bud -q --format docker --isolation chroot --network host --pull-never -f "$work/Containerfile" -t regent "$work/context" >/dev/null

say "a member"
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
client="$(port)" peer="$(port)"
etcd --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$client" \
    --advertise-client-urls "http://127.0.0.1:$client" --listen-peer-urls "http://127.0.0.1:$peer" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "default=http://127.0.0.1:$peer" \
    >"$work/etcd.log" 2>&1 &
store=$!
member="$(build from --pull-never localhost/regent)"
variables="$(awk '/^x-environment:/ { on = 1; next } /^$/ { on = 0 } on { sub(/^ +/, ""); sub(/: /, "="); print }' \
    "$here/container/compose.yml")"
while read -r variable; do
    build config --env "$(eval "printf '%s' $variable")" "$member"
done <<<"$variables"
build config --env "PATRONI_NAME=member1" --env "PATRONI_ETCD3_HOSTS='127.0.0.1:$client'" \
    --env PATRONI_RESTAPI_CONNECT_ADDRESS=127.0.0.1:8008 --env PATRONI_POSTGRESQL_CONNECT_ADDRESS=127.0.0.1:5432 "$member"
inspect() { build inspect --type image --format "$1" localhost/regent; }
[[ "$(inspect '{{.OCIv1.Config.User}}')" = postgres ]] || { say "it would not run as postgres"; exit 1; }
[[ "$(inspect '{{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.Cmd}}')" = '[/usr/bin/regent] [/etc/regent/regent.yml]' ]] ||
    { say "it would start something else"; exit 1; }
build run --isolation chroot --network host "$member" -- /usr/bin/regent /etc/regent/regent.yml >"$work/member.log" 2>&1 &
daemon=$!
inside() { build run --isolation chroot --network host "$member" -- "$@"; }
led=no
for _ in $(seq 120); do
    if inside patronictl -c /etc/regent/regent.yml list -f tsv 2>/dev/null | grep -q 'member1.*Leader.running'; then
        led=yes
        break
    fi
    sleep 1
done
[[ "$led" = yes ]] || { tail -30 "$work/member.log" >&2; exit 1; }
# The health check as it is written, with the words of its array.
check="$(sed -nE 's/^ *CMD (\["\/bin\/bash".*\])$/\1/p' "$here/container/Containerfile")"
readarray -d '' -t words < <(python3 -c 'import json, sys; sys.stdout.write("".join(word + "\0" for word in json.loads(sys.argv[1])))' "$check")
inside "${words[@]}" || { say "the health check says no"; exit 1; }
inside psql 'host=127.0.0.1 user=postgres password=change-me' -Atc 'SELECT 1' >/dev/null || { say "no login"; exit 1; }
# The daemon itself, not what stands between: by its words, and by the store that nobody else has.
for pid in $(pgrep -f '^/usr/bin/regent /etc/regent/regent.yml'); do
    if grep -qz "PATRONI_ETCD3_HOSTS='127.0.0.1:$client'" "/proc/$pid/environ" 2>/dev/null; then kill -TERM "$pid"; fi
done
wait "$daemon" || { tail -5 "$work/member.log" >&2; say "it did not end in order"; exit 1; }
daemon=
say "the image is good"
