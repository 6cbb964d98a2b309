# demo · test · simulate · faults · drills · fuzz · lint · bench · install · deb. `make` alone explains them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-etcd setup-peers setup-kubernetes components demo test simulate faults drills fuzz screenshots \
        lint deny bench bench-restore install pages deb deb-check container-check

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

# demo
NODES ?= 3
DCS ?= local

# test
NEXTEST_PROFILE ?= default

# simulate: how many worlds, from which seed on, on how many processors, with sums kept in a file; or one of them, told
# as a story
SEEDS ?= 100000
FROM ?= 0
SEED ?=
SHEET ?=
THREADS ?=

# faults: rounds for each mode; async, sync, strict, quorum or all; SEED for the same dice again
ROUNDS ?= 3
MODE ?= all

# fuzz: how long each target is tried; a seed for one round of the same again
MINUTES ?= 10

# drills: which of them, how many shots instead of the usual number, how many clusters at a time, the lock's seconds
DRILL ?= all
SHOTS ?=
JOBS ?= 2
TTL ?= 8

# bench: arguments for the bench program
BENCH ?=

# install
PREFIX ?= /usr/local
DESTDIR ?=
PATRONICTL ?= 0
PLUGINS ?= local etcd etcd3 consul zookeeper exhibitor kubernetes

help:
	@echo 'make demo     a three-node cluster in this terminal      NODES=3 DCS=local'
	@echo 'make test     every test, on real PostgreSQL servers'
	@echo 'make simulate clusters in a modelled world, faults and all    SEEDS=100000 FROM=0, or SEED=7 for one story'
	@echo 'make faults   real clusters under writes and random faults    ROUNDS=3 MODE=all|async|sync|strict|quorum SEED=7'
	@echo 'make fuzz     damaged files, variables, documents, requests    MINUTES=10 for each target'
	@echo 'make drills   one fault at a time, many times over           DRILL=daemon-killed SHOTS=10 JOBS=2'
	@echo 'make screenshots  the pictures of the dashboard in the docs, from a real cluster'
	@echo 'make lint     format, clippy, the rules of the house, dependencies'
	@echo 'make bench-restore  restores through a component, beside tar     MEGABYTES=2000'
	@echo 'make bench    the figures, beside Patroni: write gaps, memory, health checks    BENCH="--only switchover"'
	@echo 'make install  programs and plugins                       PREFIX=/usr/local PATRONICTL=1'
	@echo 'make deb      a Debian package; make deb-check installs it in a fresh system'
	@echo 'make container-check  the container image, made without a registry and tried'

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

# Methods that run in the sandbox, for the machine that they run on, with what that takes; what the tests make of them is
# tested here.
components:
	@tests/setup.sh --components
	@if [ -d "$$(rustc --print sysroot)/lib/rustlib/wasm32-wasip2" ]; then \
	    cd wasm-methods && $(CARGO) build --locked --release --target wasm32-wasip2 --target-dir target && \
	    $(CARGO) test --locked --quiet --target-dir target; \
	fi
	@wasm-methods/directory-copy/build.sh wasm-methods/target/wasm32-wasip2/release/directory-copy.wasm || [ $$? = 3 ]

demo: $(if $(filter etcd3,$(DCS)),setup-etcd,setup)
	$(CARGO) build --release -p regent -p regent-dcs-$(DCS)
	$(TARGET)/release/regent demo --nodes $(NODES) $(if $(filter-out local,$(DCS)),--dcs $(DCS))

# The tests of whole clusters run the programs built here. Without nextest they run one by one,
# because they share the machine's two or three cores and its clock.
test: export REGENT_BIN_DIR := $(abspath $(TARGET))/debug
test: setup-peers components
	$(CARGO) build --workspace
	$(MAKE) --no-print-directory -C plugins/example build CARGO_TARGET_DIR=$(abspath $(TARGET))
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    echo "$(CARGO) nextest run --workspace"; \
	    $(CARGO) nextest run --workspace --profile $(NEXTEST_PROFILE); \
	else \
	    echo 'cargo-nextest is not installed: using cargo test'; \
	    $(CARGO) test --workspace --exclude regent-e2e --exclude regent-faults --all-targets && \
	    $(CARGO) test -p regent-e2e -p regent-faults -- --test-threads=1; \
	fi
	$(CARGO) test --workspace --doc
	$(MAKE) --no-print-directory -C plugins/example test \
	    CARGO_TARGET_DIR=$(abspath $(TARGET)) REGENT_KIT=$(abspath $(TARGET))/debug/regent-dcs-conformance

simulate:
	$(CARGO) run --release -p regent-simulation --bin simulate -- \
	    $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM)) \
	    $(if $(SHEET),--append $(SHEET)) $(if $(THREADS),--threads $(THREADS))

# The pictures in docs/src/images.
screenshots: export REGENT_BIN_DIR := $(abspath $(TARGET))/debug
screenshots: setup-peers
	$(CARGO) build -p regent -p regent-dcs-local
	mkdir -p docs/src/images
	REGENT_SCREENSHOTS=$(CURDIR)/docs/src/images $(CARGO) test -p regent-e2e --test dashboard

lint:
	$(CARGO) fmt --all --check
	cd wasm-methods && $(CARGO) fmt --all --check
	cd plugins/example && $(CARGO) fmt --check
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
	    --jobs $(JOBS) --ttl $(TTL) --label $(or $(shell git describe --always --dirty 2>/dev/null),here)

# Each target for as long, one after the other.
fuzz: export REGENT_FUZZ_SECONDS := $(shell expr $(MINUTES) \* 60)
fuzz:
	$(if $(SEED),REGENT_FUZZ_SEED=$(SEED) )$(CARGO) test -p regent --lib fuzz_ -- --test-threads=1 --nocapture

bench: export REGENT_BIN_DIR := $(abspath $(TARGET))/release
bench: setup-peers components
	$(CARGO) build --release -p regent $(PLUGINS:%=-p regent-dcs-%)
	$(CARGO) run --release -p regent-bench -- $(BENCH)
	$(if $(BENCH),,tests/bench/restore.sh $(MEGABYTES))

# Restores through a component beside tar itself.      MEGABYTES=2000
bench-restore: components
	$(CARGO) build --release -p regent
	REGENT=$(abspath $(TARGET))/release/regent tests/bench/restore.sh $(MEGABYTES)

install: setup-etcd components
	$(CARGO) build --release -p regent $(PLUGINS:%=-p regent-dcs-%)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/regent/plugins
	install -m 755 $(TARGET)/release/regent $(TARGET)/release/regentctl $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(PLUGINS:%=$(TARGET)/release/libregent_dcs_%.so) $(DESTDIR)$(PREFIX)/lib/regent/plugins/
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(TARGET)/release/regentctl man >$(DESTDIR)$(PREFIX)/share/man/man1/regentctl.1
	$(TARGET)/release/regentctl completions bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/regentctl
	@for method in tar-restore http-restore stream-backup directory-copy; do \
	    for built in $$method $$(echo $$method | tr - _); do \
	        file=wasm-methods/target/wasm32-wasip2/release/$$built.wasm; \
	        [ -f $$file ] && install -D -m 644 $$file $(DESTDIR)$(PREFIX)/lib/regent/methods/$$method.wasm && continue 2; \
	    done; \
	    echo "the method $$method was not built: make components builds it, or says what is missing"; \
	done
	@if [ '$(PATRONICTL)' = 1 ]; then \
	    ln -sfn regentctl $(DESTDIR)$(PREFIX)/bin/patronictl; \
	    for name in wale_restore barman aws; do ln -sfn regent $(DESTDIR)$(PREFIX)/bin/patroni_$$name; done; \
	fi

# Manual pages and completions, drawn by the program itself.
PAGES := $(TARGET)/package
pages:
	rm -rf $(PAGES) && install -d $(PAGES)/man
	$(TARGET)/$(PROFILE)/regentctl man >$(PAGES)/man/regentctl.1
	for command in $$($(TARGET)/$(PROFILE)/regentctl --help | sed -n '/^Commands:/,$$s/^  \([a-z-]*\) .*/\1/p'); do \
	    $(TARGET)/$(PROFILE)/regentctl man $$command >$(PAGES)/man/regentctl-$$command.1 || exit 1; \
	done
	$(TARGET)/$(PROFILE)/regentctl completions bash >$(PAGES)/regentctl.bash
	$(TARGET)/$(PROFILE)/regentctl completions zsh >$(PAGES)/_regentctl
	$(TARGET)/$(PROFILE)/regentctl completions fish >$(PAGES)/regentctl.fish

# deb: the folder of the programs; `make deb PROFILE=debug` packs what the tests run
PROFILE ?= release
deb:
	@$(CARGO) deb --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deb
	$(CARGO) build $(if $(filter release,$(PROFILE)),--release) -p regent $(PLUGINS:%=-p regent-dcs-%)
	$(MAKE) --no-print-directory pages PROFILE=$(PROFILE)
	$(CARGO) deb --no-build -p regent $(if $(filter debug,$(PROFILE)),--profile dev --strip --fast) --output $(TARGET)/package/
	@ls -l $(TARGET)/package/*.deb

# In a system of its own: is all there, do the programs run, is the unit sound, does nothing stay. Needs root.
deb-check:
	host/packaging/debian-check.sh $(TARGET)/package/*.deb

# The image of the Containerfile with the programs of PROFILE, made without a registry, and a member in it. Needs root,
# buildah and debootstrap.
container-check:
	host/packaging/container-check.sh $(TARGET)/$(PROFILE)
