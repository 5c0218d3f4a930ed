from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from cnnc.compiler import Options, compile_spec
from cnnc.resources import resource

Compile = Callable[..., Any]


@pytest.fixture(scope="session")
def compiled() -> Compile:
    """The Model class of a file of specs/, compiled once a session for each set of parameters."""

    @cache
    def compile_once(name: str, **parameters: float) -> Any:
        options = Options(parameters=parameters)
        return compile_spec(resource("specs", f"{name}.cnn"), options=options).load().Model

    return compile_once


@pytest.fixture
def image() -> Any:
    """The lecture's 8x8 image."""
    return grid(
        "0 0 0 0 0 0 0 0 / 0 0 0 0 0 1 1 0 / 0 1 1 1 1 1 1 0 / 0 1 1 1 1 1 1 0 / "
        "0 1 1 1 1 1 1 0 / 0 0 1 1 1 0 0 0 / 0 0 1 1 1 0 0 0 / 0 0 0 0 0 0 0 0"
    )


@pytest.fixture
def edge_filter() -> Any:
    return grid("1 2 1 / 0 0 0 / -1 -2 -1")


def grid(text: str) -> Any:
    """`1 2 / 3 4` as a float32 array."""
    return np.array([row.split() for row in text.split("/")]).astype(np.float32)
