# `make check` runs what CI runs, in the Python environment that is active.
# Set-up: pip install -e '.[test,dev]'

.PHONY: check test lint types imports format build clean

check: lint types imports test

test:
	pytest

lint:
	ruff check .
	ruff format --check .

types:
	mypy

imports:
	lint-imports

format:
	ruff check --fix .
	ruff format .

build:
	python -m build

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
