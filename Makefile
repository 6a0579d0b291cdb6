# SPDX-License-Identifier: Apache-2.0
# Every target may be run again from any state. On Debian each installs what it misses (as root or with sudo) and needs
# nothing else; elsewhere, install the counterparts of APT_BUILD, APT_CHECK and APT_TEST first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

APT_BUILD := build-essential ca-certificates cmake git liblz4-dev liblzma-dev libpcap-dev libzstd-dev ninja-build \
             python3-dev python3-venv zlib1g-dev
APT_DEMO := $(APT_BUILD) sqlite3
APT_CHECK := $(APT_BUILD) ccache libgtest-dev
APT_TEST := $(APT_CHECK) bind9-dnsutils clang curl dnsmasq-base iproute2 libclang-rt-14-dev libssl-dev redis-server \
            ruby-redis tcpreplay
# Cassandra, Elasticsearch and OpenSearch run in Java, their jars come by Maven; PostgreSQL's server is Debian's, openssl
# makes its certificate; aicore-ndpi is built against nDPI.
APT_PLUGINS := maven openjdk-17-jdk-headless libndpi-dev openssl pkg-config postgresql

# Debian's own first: one in a home directory cannot be run by the other users that tests become.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
BUILD := build
DEMO := $(BUILD)/demo
TOOLS := $(BUILD)/tools
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
CORE := pyproject.toml README.md $(shell find native aicore -type f -not -path '*/__pycache__/*' -not -name '*.so')

# $(call apt,PACKAGES): asks dpkg first, so that a machine that has them needs neither root nor a network.
define apt
@if command -v dpkg-query >/dev/null; then
  missing=
  for package in $(1); do
    [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing="$$missing $$package"
  done
  if [ -n "$$missing" ]; then
    echo "installing$$missing"
    $(SUDO) apt-get update -qq
    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null
  fi
fi
endef

# $(call venv,FOLDER,PROBE): a virtual environment, made afresh unless its program PROBE runs (Python may have been
# upgraded under it, or its making interrupted).
define venv
@if ! $(1)/bin/$(2) --version >/dev/null 2>&1; then
  rm -rf $(1)
  $(PYTHON) -m venv $(1)
fi
endef

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

.PHONY: demo
demo: ## build, read a capture into SQLite and show its flows
	$(call apt,$(APT_DEMO))
	$(call venv,$(DEMO)/venv,aicore)
	@$(MAKE) --no-print-directory $(DEMO)/venv/built
	rm -f $(DEMO)/flows.db*
	echo '$$ aicore run tests/captures/demo.pcap --to sqlite:$(DEMO)/flows.db'
	$(DEMO)/venv/bin/aicore run tests/captures/demo.pcap --to sqlite:$(DEMO)/flows.db
	echo
	echo '$$ sqlite3 -box $(DEMO)/flows.db "$(DEMO_SQL)"'
	sqlite3 -box $(DEMO)/flows.db "$(DEMO_SQL)"

DEMO_SQL := SELECT key, layer7, coalesce(httphost, sslhost, dnsdomain) AS name, packets, bytes, end_reason \
            FROM flows ORDER BY first_seen LIMIT 20

$(DEMO)/venv/built: $(CORE)
	@echo "building aicore (a minute or two)"
	$(DEMO)/venv/bin/python -m pip install --quiet --disable-pip-version-check .
	touch $@

# Where tox looks for other Pythons before PATH: a list with commas.
comma := ,
export TOX_DISCOVER ?= $(subst $() ,$(comma),$(wildcard $(HOME)/.pyenv/versions/3.1[034].*/bin/python))

.PHONY: tox
tox:
	$(call venv,$(TOOLS),tox)
	@if ! $(TOOLS)/bin/tox --version >/dev/null 2>&1; then
	  $(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check 'tox>=4.24,<5'
	fi

.PHONY: tools
tools: tox
	$(call apt,$(APT_TEST))

.PHONY: check
check: tox ## lint, types, native and Python unit tests: no servers, no root, a few minutes
	$(call apt,$(APT_CHECK))
	$(TOOLS)/bin/tox run -e lint,check

# Environments at a time: one more than processors, as half of their time is waiting. What each printed comes when it has
# ended: all of it if it failed, and the results of pytest, which name what was skipped.
PARALLEL = $$(($$(nproc) + 1))

.PHONY: test
test: tools ## lint, types, native tests, Python tests against the built wheel, every plugin's, the pages'
	$(call apt,$(APT_PLUGINS))
	$(TOOLS)/bin/tox run-parallel --parallel $(PARALLEL) --no-list-dependencies

.PHONY: test-all
test-all: test ## the same, ThreadSanitizer, and the wheels in fresh environments
	$(TOOLS)/bin/tox run -e native-thread,slow

.PHONY: fault
fault: tools ## the fault tests in their long form
	$(TOOLS)/bin/tox run -e fault

.PHONY: fuzz
fuzz: tools ## libFuzzer on decoding, flows, captures and every dissector, a minute each: half an hour on two cores
	$(TOOLS)/bin/tox run -e fuzz

.PHONY: lint
lint: tox ## ruff, clang-format, codespell, mypy, the native stub
	$(call apt,$(APT_BUILD))
	$(TOOLS)/bin/tox run -e lint,type

.PHONY: format
format: tox ## rewrite Python and C++ in the project's format
	$(TOOLS)/bin/tox exec -e lint -- ruff check --fix --exit-zero .
	$(TOOLS)/bin/tox exec -e lint -- ruff format .
	git ls-files '*.h' '*.c' '*.cpp' | xargs $(TOOLS)/bin/tox exec -e lint -- clang-format -i

.PHONY: wheel
wheel: tools ## wheelhouse/: aicore's wheel, which carries libpcap, and its source distribution
	$(TOOLS)/bin/tox exec -e wheel -- python packaging/wheelhouse.py wheelhouse .

.PHONY: wheelhouse
wheelhouse: tools ## the same of aicore and of every plugin
	$(TOOLS)/bin/tox exec -e wheel -- python packaging/wheelhouse.py wheelhouse . $(PLUGINS)

# aicore-ndpi is built where it is used: it needs nDPI, whose licence is the LGPL.
PLUGINS := $(filter-out plugins/aicore-ndpi/,$(dir $(wildcard plugins/*/pyproject.toml)))

.PHONY: bench
bench: tools ## packets per CPU second and peak memory, side by side with the libpcap loop and NFStream
	$(TOOLS)/bin/tox run -e bench

.PHONY: captures
captures: ## the project's captures, written to build/captures
	$(PYTHON) tests/captures/generate.py --all $(BUILD)/captures

.PHONY: clean
clean: ## remove everything that was built
	rm -rf $(BUILD) dist wheelhouse .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
