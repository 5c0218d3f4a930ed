"""How much the C compiler makes of the modules that tests compile.

Most of a test's time would go into optimizing. What kernels are put together of, and how they are
called, shows without it; what compilers make of the kernels themselves is looked at where it says
`optimized`: every op's on this machine's own target, small networks on all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cnnc.codegen import toolchain

PLAIN = {"GCC_FLAGS": ("-Og",), "SPLIT_FLAGS": (), "CLANG_FLAGS": ("-O1",)}
SHIPPED = {name: getattr(toolchain, name) for name in PLAIN}
UNSPLIT = {**SHIPPED, "SPLIT_FLAGS": ()}
"""The same kernels, without processes of their own: the other processor has tests to run."""


@contextmanager
def plain() -> Iterator[None]:
    """Modules whose loops stay rolled, in less than half of the time."""
    with _flags(PLAIN):
        yield


@contextmanager
def optimized(*targets: str) -> Iterator[None]:
    """Modules as everywhere else; where targets are named, kernels of this machine's own alone."""
    chosen = UNSPLIT if toolchain.host_target().name in targets else {}
    with _flags(chosen if targets else SHIPPED):
        yield


@contextmanager
def _flags(flags: dict[str, tuple[str, ...]]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, words in flags.items():
            patch.setattr(toolchain, name, words)
        yield
