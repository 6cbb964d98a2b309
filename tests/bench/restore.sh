#!/usr/bin/env bash
# How fast the component tar-restore is beside tar itself on the same archive, and what starting a component costs.
#   tests/bench/restore.sh [MEGABYTES]
# REGENT names the program, METHODS the folder of the components. Where the disk is short, less is restored, and said.
set -euo pipefail

REGENT="${REGENT:-${CARGO_TARGET_DIR:-target}/release/regent}"
METHODS="${METHODS:-wasm-methods/target/wasm32-wasip2/release}"
MEGABYTES_WANTED=2000

say() { echo "$*" >&2; }

# Wall time and processor time of a command, in seconds.
timed() {
    local TIMEFORMAT='%R %U %S'
    { time "$@" >/dev/null 2>"$WORK/said"; } 2>&1 | awk '{ printf "%.2f %.2f", $1, $2 + $3 }'
    [[ ${PIPESTATUS[0]} -eq 0 ]] || { cat "$WORK/said" >&2; return 1; }
}

# Tables of a server compress to about a half: so does this, half of it noise and half of it rows.
make_directory() { # MEGABYTES FOLDER
    local left="$1" number=0 size
    mkdir -p "$2/base/1"
    echo 15 >"$2/PG_VERSION"
    while [[ "$left" -gt 0 ]]; do
        size=$((left < 64 ? left : 64))
        { head -c $((size * 524288)) /dev/urandom
          seq -f 'row %.0f of a table that many clients write to' $((number * 1000000)) 99999999 | head -c $((size * 524288)); } \
            >"$2/base/1/$((16384 + number))" || true
        left=$((left - size)) number=$((number + 1))
    done
    for number in $(seq 1000); do head -c 8192 /dev/urandom >"$2/base/1/small$number"; done
}

run_component() { # ARCHIVES-FOLDER TARGET
    printf 'postgresql: {tar: {wasm: %s, directory: %s, directories: [%s]}}\n' \
        "$(realpath "$METHODS/tar_restore.wasm")" "$1" "$1" >"$WORK/m.yml"
    "$REGENT" method run "$WORK/m.yml" tar --into "$2"
}

row() { # NAME SECONDS CPU MEGABYTES
    awk -v name="$1" -v wall="$2" -v cpu="$3" -v size="$4" \
        'BEGIN { printf "| %-22s | %7.2f s | %7.2f s | %5.0f MB/s | %5.0f MB |\n", name, wall, cpu, size / wall, size / (cpu > 0 ? cpu : 0.01) }'
}

# The least of some numbers: what else the machine does makes runs longer, never shorter.
least() { printf '%s\n' "$@" | sort -n | head -n 1; }

compare() { # ENDING TAR-OPTION MEGABYTES AIM-PERCENT
    local archives="$WORK/archives-$1" wall cpu native=() component=()
    mkdir -p "$archives"
    tar ${2:+"$2"} -cf "$archives/base.tar${1#plain}" -C "$WORK/made" .
    for round in 1 2 3; do
        # Each begins with nothing left to write of the one before, and with the archive in memory.
        sync; cat "$archives/base.tar${1#plain}" >/dev/null
        mkdir "$WORK/native"
        # What is restored is to be on disk: tar alone leaves that to the kernel, tar-restore does not.
        read -r wall cpu < <(timed extract "$2" "$archives/base.tar${1#plain}" "$WORK/native"; echo)
        row "tar ${1#plain}, $round" "$wall" "$cpu" "$3"
        native+=("$wall")
        rm -rf "$WORK/native"
        sync; cat "$archives/base.tar${1#plain}" >/dev/null
        read -r wall cpu < <(timed run_component "$archives" "$WORK/component"; echo)
        row "tar-restore ${1#plain}, $round" "$wall" "$cpu" "$3"
        component+=("$wall")
        rm -rf "$WORK/component"
    done
    awk -v name="${1#plain}" -v native="$(least "${native[@]}")" -v component="$(least "${component[@]}")" -v aim="$4" 'BEGIN {
        percent = 100 * native / component
        printf "| tar-restore %s: %.0f %% of tar by the best runs, aim %d %%: %s |\n", name, percent, aim, percent >= aim ? "met" : "not met"
    }'
    rm -rf "$archives"
}

extract() { # TAR-OPTION ARCHIVE FOLDER
    tar ${1:+"$1"} -xf "$2" -C "$3" && sync --file-system "$3"
}

start_times() {
    local wall cpu
    mkdir -p "$WORK/small/made" "$WORK/small/archives"
    echo 15 >"$WORK/small/made/PG_VERSION"
    tar -cf "$WORK/small/archives/base.tar" -C "$WORK/small/made" .
    for name in 'compiled first' 'from the cache' 'from the cache, again'; do
        read -r wall cpu < <(timed run_component "$WORK/small/archives" "$WORK/component"; echo)
        printf '| start, %-22s | %6.2f s | %6.2f s |\n' "$name" "$wall" "$cpu"
        rm -rf "$WORK/component"
    done
}

main() {
    local megabytes="${1:-$MEGABYTES_WANTED}" free
    WORK="$(mktemp -d "${TMPDIR:-/tmp}/regent-restore-XXXXXX")"
    trap 'rm -rf "$WORK"' EXIT
    # A cache of our own: the first start compiles.
    export HOME="$WORK"
    free=$(($(df --output=avail -k "$WORK" | tail -n 1) / 1024))
    if [[ "$free" -lt $((megabytes * 6)) ]]; then
        megabytes=$((free / 8))
        say "the disk has $free MB free: $megabytes MB are restored instead of ${1:-$MEGABYTES_WANTED}"
    fi
    say "making $megabytes MB"
    make_directory "$megabytes" "$WORK/made"
    start_times
    echo '| what                   |      time | processor | a second   | a CPU second |'
    compare plain '' "$megabytes" 70
    compare .gz --gzip "$megabytes" 70
    if command -v zstd >/dev/null 2>&1; then
        compare .zst --zstd "$megabytes" 40
    else
        say 'zstd is not installed: left out'
    fi
}

main "$@"
