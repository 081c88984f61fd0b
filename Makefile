# Every target does all its own set-up in .venv, and repeats of it only what a changed file asks for.
# Where a ROS 2 installation is sourced, .venv sits on top of it; elsewhere ROS 2 comes from PyPI wheels.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint docs setup clean

# The wheels set these for their own process; a shell or a make below such a process must not hand them on.
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE LD_LIBRARY_PATH
endif

# Sourced: rclpy can be imported, and not from wheels in a virtual environment that happens to be active.
IS_SOURCED := import rclpy, sys; sys.exit(sys.prefix != sys.base_prefix and rclpy.__file__.startswith(sys.prefix))
ROS := $(shell test -n "$${ROS_DISTRO:-}$${AMENT_PREFIX_PATH:-}" && $(PYTHON) -c '$(IS_SOURCED)' 2>/dev/null && echo sourced || echo wheels)
REQUIREMENTS := requirements.txt requirements-build.txt requirements-test.txt
ifeq ($(ROS),wheels)
REQUIREMENTS += requirements-ros.txt
export AMENT_PREFIX_PATH := $(abspath $(VENV))
endif
SYSTEM_SITE_PACKAGES := $(if $(filter sourced,$(ROS)),true,false)
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet

help: ## list the targets
	@echo 'ROS 2 comes from $(if $(filter sourced,$(ROS)),the sourced installation,PyPI wheels).'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 15

demo: setup ## run sensors that fail one after another, the node and a recorder; results go to out/demo/
	@echo '== demo'
	$(RUN) -m rsgmamba_ros.ros.tools.demo $(DEMO_OPTIONS)

test: setup ## run all tests; TEST_OPTIONS are handed to pytest
	@echo '== test'
	$(RUN) -m pytest $(TEST_OPTIONS)

lint: setup ## check the style and the types
	@echo '== lint'
	$(RUN) -m ruff check .
	$(RUN) -m mypy

docs: ## build the documentation as a site in out/site
	@echo '== docs'
	$(PYTHON) -m venv out/docs_venv
	out/docs_venv/bin/python -m pip --disable-pip-version-check install --quiet --requirement requirements-docs.txt
	out/docs_venv/bin/mkdocs build --strict

setup: $(VENV)/.package-installed ## make .venv with everything in it

clean: ## remove all that was made here, .venv included
	rm -rf $(VENV) build install log out *.egg-info

$(VENV)/bin/python:
	@echo '== set-up: make $(VENV)'
	$(PYTHON) -m venv $(if $(filter sourced,$(ROS)),--system-site-packages) $(VENV)

# A sourced ROS 2 has modules compiled for one major version of NumPy: stay with it.
$(VENV)/.requirements-installed: $(REQUIREMENTS) | $(VENV)/bin/python
	@grep -q 'include-system-site-packages = $(SYSTEM_SITE_PACKAGES)' $(VENV)/pyvenv.cfg || { \
	  echo '$(VENV) was made for another ROS 2. Remove it (make clean) or name another: make VENV=.venv-$(ROS) ...' >&2; exit 1; }
	@echo '== set-up: install $(REQUIREMENTS) into $(VENV) (some minutes the first time)'
	$(RUN) -c 'import numpy; print("numpy<%d" % (int(numpy.__version__.split(".")[0]) + 1))' \
	  > $(VENV)/constraints.txt 2>/dev/null || true
	$(PIP) --constraint $(VENV)/constraints.txt $(REQUIREMENTS:%=--requirement %)
	@touch $@

# Our own modules are installed in place; this is for what has to be built or copied.
$(VENV)/.package-installed: $(VENV)/.requirements-installed CMakeLists.txt package.xml setup.py $(wildcard msg/* config/* launch/* rsgmamba_ros/ops/cpu/*pp rsgmamba_ros/ops/cpu/CMakeLists.txt)
	@echo '== set-up: build messages and CPU kernels, and install the package in place (about a minute)'
	PATH="$(abspath $(VENV))/bin:$$PATH" $(PIP) --no-build-isolation --no-deps --editable .
	@touch $@
