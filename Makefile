# `make check` runs what CI runs, in the Python environment that is active.
# Set-up: pip install -e '.[test,dev]'

.PHONY: check test lint types imports format build clean aarch64

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

# The NEON kernels under qemu. apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
aarch64:
	tests/aarch64/sysroot build/aarch64
	CNNC_AARCH64=build/aarch64 pytest tests/aarch64

build:
	python -m build

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
