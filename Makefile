# `make check` runs what CI runs, in the Python environment that is active.
# Set-up: pip install -e '.[test,dev]'

.PHONY: check test networks lint types imports format build clean

check: lint types imports test

test:
	pytest

# The deepest networks of specs/ against PyTorch with all their layers: some minutes more than CI.
networks:
	pytest --whole-networks tests/specs

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
