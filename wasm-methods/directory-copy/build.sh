#!/usr/bin/env bash
# Builds the component directory-copy from C: clang compiles it, what comes with Rust's wasm32-wasip2 links it.
#   directory-copy/build.sh TARGET-FILE
# Without the tools it says what is missing and ends with 3.
set -euo pipefail

missing() {
    echo "directory-copy is not built: $1" >&2
    exit 3
}

main() {
    local target="$1" here sysroot host libraries tools headers=/usr/include/wasm32-wasi clang
    here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
    clang="$(command -v clang || compgen -c clang- | grep -xE 'clang-[0-9]+' | sort -V | tail -n 1 || true)"
    [[ -n "$clang" ]] || missing "clang is missing (Debian: apt-get install clang wasi-libc)"
    [[ -d "$headers" ]] || missing "the headers of wasi-libc are missing (Debian: apt-get install wasi-libc)"
    sysroot="$(rustc --print sysroot)"
    host="$(rustc -vV | sed -n 's/^host: //p')"
    libraries="$sysroot/lib/rustlib/wasm32-wasip2/lib/self-contained"
    tools="$sysroot/lib/rustlib/$host/bin"
    [[ -f "$libraries/libc.a" ]] || missing "Rust's library for wasm32-wasip2 is missing (rustup target add wasm32-wasip2)"
    [[ -x "$tools/wasm-component-ld" ]] || missing "wasm-component-ld is not beside rustc"
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    "$clang" --target=wasm32-wasi -isystem "$headers" -O2 -Wall -Wextra -Werror -ffile-prefix-map="$here"= \
        -c "$here/directory-copy.c" -o "$work/directory-copy.o"
    "$tools/wasm-component-ld" --wasm-ld-path "$tools/gcc-ld/wasm-ld" --strip-all \
        "$libraries/crt1-command.o" "$work/directory-copy.o" "$libraries/libc.a" -o "$work/directory-copy.wasm"
    mkdir -p "$(dirname "$target")"
    mv "$work/directory-copy.wasm" "$target"
}

main "$@"
