"""Modules compiled once a session, and data of the right form for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cnnc.compiled import Compiled
from cnnc.compiler import Options, compile_spec
from cnnc.ops.shapes import Array
from tests.flags import optimized, plain
from tests.module.reference import Reference
from tests.module.specs import DIGITS, HEADS, LENET, LINE, MEANS, ROWS, TOWER, WIND

Compile = Callable[..., Compiled]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """`compiled(spec, target=None)`: a spec's text, or the path of one, compiled once a session.

    With a target's name it is optimized as everywhere, without one as most tests' are.
    The extension, its source and its stub lie in a directory of their own.
    """
    done: dict[tuple[str | Path, str | None], Compiled] = {}

    def run(spec: str | Path, target: str | None = None) -> Compiled:
        if (spec, target) not in done:
            room = tmp_path_factory.mktemp("compiled")
            path = spec
            if isinstance(spec, str):
                path = room / "spec.cnn"
                path.write_text(spec, encoding="utf-8")
            with optimized() if target else plain():
                result = compile_spec(path, output=room / "out", options=Options(target))
            done[spec, target] = result
        return done[spec, target]

    return run


@dataclass(frozen=True)
class Case:
    """A compiled network, and how to make models, data and references of it."""

    compiled: Compiled
    module: ModuleType

    def model(self, seed: int = 0, threads: int = 1) -> Any:
        """A model whose biases are not all zero, so that they matter."""
        net = self.module.Model(seed=seed, threads=threads)
        rng = np.random.default_rng(seed)
        for name, view in net.parameters.items():
            if name.endswith(".bias"):
                view[...] = rng.normal(0, 0.1, view.shape)
        return net

    def reference(self, net: Any) -> Reference:
        return Reference(self.compiled.graph, net)

    def inputs(self, n: int, seed: int = 0) -> tuple[Array, ...]:
        rng = np.random.default_rng([n, seed])
        model = self.module.Model
        return tuple(
            rng.integers(0, 256, (n, *shape)).astype(np.uint8)
            if model.input_dtypes[name] == "uint8"
            else rng.standard_normal((n, *shape)).astype(np.float32)
            for name, shape in model.input_shapes.items()
        )

    def target(self, n: int, seed: int = 0) -> Array:
        rng = np.random.default_rng([n, seed, 1])
        model = self.module.Model
        if model.classes is not None:
            return rng.integers(0, model.classes, n)
        (shape,) = model.output_shapes.values()
        return rng.standard_normal((n, *shape)).astype(np.float32)


def _case(compiled: Compile, spec: Any, target: str | None = None) -> Case:
    result = compiled(spec, target)
    return Case(result, result.load())


@pytest.fixture(scope="session")
def lenet(compiled: Compile) -> Case:
    return _case(compiled, LENET)


@pytest.fixture(scope="session")
def digits(compiled: Compile) -> Case:
    return _case(compiled, DIGITS)


@pytest.fixture(scope="session")
def means(compiled: Compile) -> Case:
    return _case(compiled, MEANS)


@pytest.fixture(scope="session")
def wind(compiled: Compile) -> Case:
    return _case(compiled, WIND)


@pytest.fixture(scope="session")
def rows(compiled: Compile) -> Case:
    return _case(compiled, ROWS)


@pytest.fixture(scope="session")
def tower(compiled: Compile) -> Case:
    return _case(compiled, TOWER)


@pytest.fixture(scope="session")
def heads(compiled: Compile) -> Case:
    return _case(compiled, HEADS)


@pytest.fixture(scope="session")
def line(compiled: Compile) -> Case:
    return _case(compiled, LINE)


@pytest.fixture(params=["lenet", "digits", "means", "wind", "rows"])
def trained(request: pytest.FixtureRequest) -> Case:
    """Each of the networks with a train block: both losses, all optimizers."""
    case: Case = request.getfixturevalue(request.param)
    return case


@pytest.fixture
def saved(digits: Case, tmp_path: Path) -> Path:
    path = tmp_path / "digits.safetensors"
    digits.model(seed=3).save(path)
    return path
