# `make run` and `make test` are all that a fresh Debian machine with Rust needs.
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -euo pipefail -c

FEATURES := $(shell scripts/gpu-feature)

.PHONY: run test build setup bundles fmt lint fuzz bench clean

## Build for this machine and show simulated people on http://127.0.0.1:8080
run: build
	cargo run --release $(FEATURES) -- demo

build: setup bundles
	cargo build --release $(FEATURES)

## Everything that CI checks
test:
	scripts/setup --test
	$(MAKE) bundles
	scripts/test

setup:
	scripts/setup

## The dashboard, GraphiQL, Swagger UI and ReDoc from npm packages; without npm their pages say how to add them
bundles:
	scripts/bundles

fmt:
	cargo fmt --all

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

## Each fuzz target for SECONDS_EACH (default 600) seconds; needs cargo-fuzz
fuzz:
	scripts/fuzz $${SECONDS_EACH:-600}

## All criterion benchmarks; figures land in target/criterion
bench:
	cargo bench -p invispose-benches

clean:
	cargo clean
