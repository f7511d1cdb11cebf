# The doors: make demo, make demo-containers, make demo-ovn, make test, make bench,
# make fuzz MINUTES=60, make sanitize, make lint.  Each builds first.
SHELL := /bin/bash
PY ?= python3
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin

# program=package of Debian
CONTAINER_PROGRAMS := podman=podman runc=runc busybox=busybox-static curl=curl nft=nftables \
  dockerd=docker.io /usr/lib/cni/host-local=containernetworking-plugins
OVN_PROGRAMS := ovn-northd=ovn-central ovn-controller=ovn-host busybox=busybox-static

.PHONY: all build demo demo-containers demo-ovn test bench fuzz sanitize lint clean
all: build
build:
	@.ci/build "$(PY)" "$(VENV)"
demo: build
	@$(BIN)/python -m demo $(if $(SHELL_AFTER),--shell-after)
demo-containers:
	@PYVS_WITH="$(CONTAINER_PROGRAMS)" $(MAKE) -s build
	@$(BIN)/python -m demo.containers $(if $(SHELL_AFTER),--shell-after)
demo-ovn:
	@PYVS_WITH="$(OVN_PROGRAMS)" $(MAKE) -s build
	@$(BIN)/python -m demo.ovn $(ENCAP)
test: build
	@.ci/test $(BIN)/python $(TESTS)
fuzz: build
	@HOSTILE_LONG_TURN=100ms $(BIN)/python -m tests.hostile --minutes $(or $(MINUTES),1) $(FUZZ)
sanitize: build
	@MINUTES=$(MINUTES) TESTS="$(TESTS)" .ci/sanitize $(BIN)/python
bench: build
	@$(BIN)/python -m bench $(BENCH)
lint: build
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python .ci/arrows
clean:
	rm -rf build *.egg-info; find . -name '*.so' -not -path './.venv/*' -delete
