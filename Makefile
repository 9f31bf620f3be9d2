# Every target does its own set-up: on a fresh machine `make demo` and `make test` are enough.
.DEFAULT_GOAL := help
STAMP := .venv/.ready
RUN := .venv/bin

.PHONY: help setup demo test lint types imports bench docs schema pins audit build clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## create .venv with pinned, hash-checked requirements

$(STAMP): requirements/dev.txt pyproject.toml scripts/setup
	@sh scripts/setup

demo: $(STAMP)  ## a site of twelve simulated containers and its fleet server
	@sh scripts/broker-setup
	@$(RUN)/tenhertz demo

test: $(STAMP)  ## lint, types, import rules, unit and interop tests
	@sh scripts/test

lint: $(STAMP)  ## ruff, mypy, import rules, pins
	@sh scripts/lint

bench: $(STAMP)  ## the benchmarks, one JSON line each
	@sh scripts/bench

pins: $(STAMP)  ## resolve requirements/*.txt anew
	@sh scripts/pins

docs: $(STAMP)  ## the pages that are made from the code
	@$(RUN)/python scripts/docs

schema: $(STAMP)  ## the classes of the link's messages, from schema.proto
	@sh scripts/schema

audit: $(STAMP)  ## known vulnerabilities in the pins
	@sh scripts/audit

build: $(STAMP)  ## the wheel, in dist/
	@$(RUN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove what the targets made
	rm -rf .venv dist build .coverage* htmlcov .pytest_cache .mypy_cache .ruff_cache
