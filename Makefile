# demo · test · simulate · faults · drills · lint · bench · install. `make` alone explains them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-etcd setup-peers setup-kubernetes components demo test simulate faults drills lint deny bench install

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

# demo
NODES ?= 3
DCS ?= local

# test
NEXTEST_PROFILE ?= default

# simulate: how many worlds, from which seed on; or one of them, told as a story
SEEDS ?= 100000
FROM ?= 0
SEED ?=

# faults: rounds for each mode; async, sync, strict, quorum or all; SEED for the same dice again
ROUNDS ?= 3
MODE ?= all

# drills: which of them, how many shots instead of the usual number, how many clusters at a time
DRILL ?= all
SHOTS ?=
JOBS ?= 2

# bench: arguments for the bench program
BENCH ?=

# install
PREFIX ?= /usr/local
DESTDIR ?=
PATRONICTL ?= 0
PLUGINS ?= local etcd etcd3 consul kubernetes

help:
	@echo 'make demo     a three-node cluster in this terminal      NODES=3 DCS=local'
	@echo 'make test     every test, on real PostgreSQL servers'
	@echo 'make simulate clusters in a modelled world, faults and all    SEEDS=100000 FROM=0, or SEED=7 for one story'
	@echo 'make faults   real clusters under writes and random faults    ROUNDS=3 MODE=all|async|sync|strict|quorum SEED=7'
	@echo 'make drills   one fault at a time, many times over           DRILL=daemon-killed SHOTS=10 JOBS=2'
	@echo 'make lint     format, clippy, the rules of the house, dependencies'
	@echo 'make bench    the figures, beside Patroni: write gaps, memory, health checks    BENCH="--only switchover"'
	@echo 'make install  programs and plugins                       PREFIX=/usr/local PATRONICTL=1'

# PostgreSQL and what the build needs: installed where we may, otherwise named.
setup:
	@tests/setup.sh

setup-etcd:
	@tests/setup.sh --etcd

# With the programs of others that the tests run beside ours.
setup-peers:
	@tests/setup.sh --peers

# A Kubernetes API server for the tests of that backend. It is built from source, which takes minutes, so `make test`
# does not ask for it: without it those tests say that they were skipped.
setup-kubernetes:
	@tests/setup.sh --kubernetes

# Methods that run in the sandbox, for the machine that they run on; what the tests make of them is tested here.
components:
	@if [ -d "$$(rustc --print sysroot)/lib/rustlib/wasm32-wasip2" ]; then \
	    cd wasm-methods && $(CARGO) build --locked --release --target wasm32-wasip2 --target-dir target && \
	    $(CARGO) test --locked --quiet --target-dir target; \
	fi

demo: $(if $(filter etcd3,$(DCS)),setup-etcd,setup)
	$(CARGO) build --release -p regent -p regent-dcs-$(DCS)
	$(TARGET)/release/regent demo --nodes $(NODES) $(if $(filter-out local,$(DCS)),--dcs $(DCS))

# The tests of whole clusters run the programs built here. Without nextest they run one by one,
# because they share the machine's two or three cores and its clock.
test: export REGENT_BIN_DIR := $(abspath $(TARGET))/debug
test: setup-peers components
	$(CARGO) build --workspace
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    echo "$(CARGO) nextest run --workspace"; \
	    $(CARGO) nextest run --workspace --profile $(NEXTEST_PROFILE); \
	else \
	    echo 'cargo-nextest is not installed: using cargo test'; \
	    $(CARGO) test --workspace --exclude regent-e2e --exclude regent-faults --all-targets && \
	    $(CARGO) test -p regent-e2e -p regent-faults -- --test-threads=1; \
	fi
	$(CARGO) test --workspace --doc

simulate:
	$(CARGO) run --release -p regent-simulation --bin simulate -- \
	    $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM))

lint:
	$(CARGO) fmt --all --check
	cd wasm-methods && $(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) test --quiet -p regent-tidy
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(MAKE) --no-print-directory deny; \
	else echo 'cargo-deny is not installed: licences and advisories were not checked (make deny installs it)'; fi

deny:
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check bans licenses sources
	@if $(CARGO) deny fetch db >/dev/null 2>&1; then $(CARGO) deny check advisories; \
	else echo 'the advisory database could not be fetched: advisories were not checked'; fi

# Programs with assertions, as the tests have them: a fault is to find what they find too.
faults: export REGENT_BIN_DIR := $(abspath $(TARGET))/debug
faults: setup-etcd
	$(CARGO) build -p regent -p regent-dcs-local -p regent-dcs-etcd3
	$(CARGO) run -p regent-faults --bin regent-faults -- --rounds $(ROUNDS) --mode $(MODE) $(if $(SEED),--seed $(SEED))

drills: export REGENT_BIN_DIR := $(abspath $(TARGET))/debug
drills: setup-etcd
	$(CARGO) build -p regent -p regent-dcs-local -p regent-dcs-etcd3
	$(CARGO) run -p regent-faults --bin regent-drills -- --drill $(DRILL) $(if $(SHOTS),--shots $(SHOTS)) \
	    --jobs $(JOBS) --label $(or $(shell git describe --always --dirty 2>/dev/null),here)

bench: export REGENT_BIN_DIR := $(abspath $(TARGET))/release
bench: setup-peers
	$(CARGO) build --release -p regent -p regent-dcs-local -p regent-dcs-etcd3
	$(CARGO) run --release -p regent-bench -- $(BENCH)

install: setup-etcd components
	$(CARGO) build --release -p regent $(PLUGINS:%=-p regent-dcs-%)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/regent/plugins
	install -m 755 $(TARGET)/release/regent $(TARGET)/release/regentctl $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(PLUGINS:%=$(TARGET)/release/libregent_dcs_%.so) $(DESTDIR)$(PREFIX)/lib/regent/plugins/
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(TARGET)/release/regentctl man >$(DESTDIR)$(PREFIX)/share/man/man1/regentctl.1
	$(TARGET)/release/regentctl completions bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/regentctl
	@if [ -f wasm-methods/target/wasm32-wasip2/release/tar_restore.wasm ]; then \
	    install -D -m 644 wasm-methods/target/wasm32-wasip2/release/tar_restore.wasm \
	        $(DESTDIR)$(PREFIX)/lib/regent/methods/tar-restore.wasm; \
	else echo 'the method tar-restore was not built: make components builds it'; fi
	@if [ '$(PATRONICTL)' = 1 ]; then ln -sfn regentctl $(DESTDIR)$(PREFIX)/bin/patronictl; fi
