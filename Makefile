# Two verbs do everything from a fresh clone: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv

.PHONY: demo test check sanitize fuzz setup clean

demo: setup
	$(VENV)/bin/crossfm demo --output demo-output

test: setup
	VENV=$(VENV) scripts/check
	VENV=$(VENV) scripts/test
	VENV=$(VENV) scripts/sanitize

check: setup
	VENV=$(VENV) scripts/check

sanitize: setup
	VENV=$(VENV) scripts/sanitize

fuzz: setup
	VENV=$(VENV) scripts/fuzz

setup:
	PYTHON=$(PYTHON) VENV=$(VENV) scripts/setup

clean:
	rm -rf build dist demo-output $(VENV)
