# Two commands on a fresh machine with Python 3.11, make and a C compiler:
#   make demo     sets up and runs the main job
#   make test     sets up and runs all tests
# Others: install, check (never edits), format, bench, size, reproduce (slow studies), clean.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PARTS  := core server client ontology simulations

# Real data, when a folder of it lies beside the checkout; TINYFLEET_DATA names another.
ifeq ($(origin TINYFLEET_DATA),undefined)
  ifneq ($(wildcard ../shared/data/.),)
    export TINYFLEET_DATA := $(abspath ../shared/data)
  endif
endif
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export RAY_USAGE_STATS_ENABLED := 0

# What is written is installed: a new module, another setting or a change in C installs again.
STATE := $(shell { find $(PARTS) -name '*.py' -o -path '*/firmware/*.*' ! -name '*.pyc' | sort; \
           cat pyproject.toml setup.cfg setup.py constraints.txt core/kernel/*; } | cksum | cut -d' ' -f1)
STAMP := $(VENV)/.installed-$(STATE)

.PHONY: install demo test check format bench size reproduce clean tools

install: $(STAMP)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tinyfleet needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt setuptools wheel cffi
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[simulation,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps amqtt
	@rm -f $(VENV)/.installed-* && touch $@

demo: install
	$(BIN)/tinyfleet demo

# Debian packages that tests need; taken when missing and when root, named when not.
NEEDED := chromium:chromium mosquitto:mosquitto qemu-system-arm:qemu-system-arm arm-none-eabi-gcc:gcc-arm-none-eabi systemd-analyze:systemd
tools:
	@missing=; for pair in $(NEEDED); do \
	  PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair#*:}"; done; \
	  test -z "$$missing" || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } || \
	  echo "missing here:$$missing; tests that need them will say so (apt-get install$$missing)"
	@.venv-tflite/bin/python -c 'import tflite_runtime' 2>/dev/null || \
	  { $(PYTHON) -m venv --clear .venv-tflite && .venv-tflite/bin/pip install --quiet \
	    --disable-pip-version-check 'tflite-runtime==2.14.*' 'numpy<2'; } || \
	  echo "no tflite-runtime here: its test will say so (it needs Python 3.11)"

# Two at a time: most tests wait for brokers, boards and servers; a file's tests stay together.
test: install tools
	$(BIN)/pytest -n 2 --dist loadfile

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p tinyfleet
	$(BIN)/mypy tests

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/tinyfleet bench simulation

# What the firmware takes on an emulated Cortex-M4, and RAM and flash of every named network.
size: install
	@$(BIN)/python tests/size.py

# Every table and figure of the papers beside ours, into docs/reproduce.md; it goes on where it stopped.
reproduce: install
	$(BIN)/tinyfleet reproduce

clean:
	rm -rf $(VENV) .venv-tflite build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
