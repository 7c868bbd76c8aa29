# One door for developers. Each target makes its own virtual environment (.venv-make) on first use and builds the
# core; later runs redo only what changed. The work itself is in ci/.
#
#   make demo       real flights through the engine: matches, events per second, a picture in demo_out/
#   make test       the whole test suite                 make test ARGS="-k ring -x"
#   make lint       ruff, mypy, cython-lint
#   make bench      the benchmarks with their references
#   make sanitize   the core's tests under AddressSanitizer and UBSan, ring and engine under ThreadSanitizer
#   make soak       ten minutes of load, every match checked       make soak ARGS="--minutes 60 --workers 2"
#   make wheel      sdist and wheels in wheelhouse/, each tried in a clean environment
#   make clean      removes what these made
#
# Another Python: make test PYTHON=python3.12

PYTHON ?= python3
ARGS ?=
export PYTHON

.PHONY: help demo test lint bench sanitize soak wheel clean

help:
	@sed -n 's/^#   make/make/p' Makefile

demo test lint bench sanitize soak wheel:
	@command -v $(PYTHON) >/dev/null || { echo "tocsin: no $(PYTHON) on the PATH: make $@ PYTHON=/path/to/python3 (3.11 or newer)" >&2; exit 2; }
	@ci/$@ $(ARGS)

clean:
	rm -rf .venv-make build dist wheelhouse demo_out *.egg-info python/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -f engine_core/*.so engine_core/*.pyd
	find . -name __pycache__ -not -path './.git/*' -not -path './.venv*' -prune -exec rm -rf {} +
