# SPDX-License-Identifier: Apache-2.0
#
# `make` lists the targets. Each installs what it needs from Debian's packages when that is missing; root is asked for (sudo)
# only where it is needed.

SHELL := /bin/bash
PREFIX ?= /usr/local
# Root may already be us; make install into a DESTDIR needs none.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# What root's sudo must not lose: where swift is.
ROOT := $(if $(SUDO),sudo env "PATH=$(PATH)",)
RELEASE := swift build -c release --product xtr

.PHONY: help demo test simulate fuzz bench lint install build compliance format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## two LISP sites talk through two routers, on this machine
	@.ci/install-packages build demo
	$(RELEASE)
	$(ROOT) .build/release/xtr demo

test: ## all tests (namespaces as root), the publication tests under ThreadSanitizer too
	@.ci/install-packages build demo test
	.ci/test

SIMULATIONS := MappingWorld|ETRSimulation|MapServerCrash|Publication|Mobility|LocatorFailure|HostileWorld
simulate: ## the control plane's simulations at full size: thousands of sites for hours
	@.ci/install-packages build test
	swift build -c release -Xswiftc -enable-testing --build-tests
	swift test -c release -Xswiftc -enable-testing --skip-build --no-parallel --filter '$(SIMULATIONS)'

# How long `make fuzz` runs. Not ?=: a shell that exports its own SECONDS would decide.
SECONDS := 600

fuzz: ## libFuzzer on the readers of bytes, SECONDS=600 for each of four
	@.ci/install-packages build fuzz
	.ci/fuzz $(SECONDS)

bench: ## table beside DPDK's, engine and router beside the same in C; rows go to Benchmarks/Results
	@.ci/install-packages build demo bench
	$(RELEASE)
	$(MAKE) -C Benchmarks table
	$(MAKE) -C Benchmarks mapcache
	$(MAKE) -C Benchmarks engine
	$(ROOT) $(MAKE) -C Benchmarks veth
	$(ROOT) $(MAKE) -C Benchmarks control

lint: ## format, imports, hot functions, generated documents
	@.ci/install-packages build lint
	.ci/lint

install: ## xtr into PREFIX/bin (default /usr/local)
	@.ci/install-packages build
	$(RELEASE) --static-swift-stdlib
	$(if $(DESTDIR),,$(SUDO)) install -D -m 0755 .build/release/xtr $(DESTDIR)$(PREFIX)/bin/xtr

build: ## the release program alone
	@.ci/install-packages build
	$(RELEASE)

compliance: ## docs/compliance.md from the names of the tests
	.ci/compliance > docs/compliance.md

format: ## lay the Swift files out as `make lint` wants them
	swift format format --in-place --recursive --parallel Sources Tests Plugins Benchmarks/Sources Package.swift

clean: ## remove what was built
	rm -rf .build .build-tsan .build-fuzz Benchmarks/.build Benchmarks/.build-c
