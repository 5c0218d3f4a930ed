"""The optimizers against torch.optim, where it is installed: references and compiled modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.compiler import compile_spec
from cnnc.ops import OPTIMIZERS

torch = pytest.importorskip("torch")

STEPS = 20
CASES = {
    "sgd(lr=0.1)": lambda p: torch.optim.SGD(p, 0.1),
    "sgd(lr=0.1, momentum=0.9, weight_decay=0.01)": lambda p: torch.optim.SGD(
        p, 0.1, momentum=0.9, weight_decay=0.01
    ),
    "sgd(lr=0.1, momentum=0.5, nesterov=yes)": lambda p: torch.optim.SGD(
        p, 0.1, momentum=0.5, nesterov=True
    ),
    "adam": torch.optim.Adam,
    "adam(lr=0.01, beta1=0.8, beta2=0.9, eps=0.001, weight_decay=0.1)": lambda p: torch.optim.Adam(
        p, 0.01, (0.8, 0.9), eps=0.001, weight_decay=0.1
    ),
    "adamw": torch.optim.AdamW,
    "adamw(lr=0.01, beta1=0.8, beta2=0.9, eps=0.001, weight_decay=0.5)": (
        lambda p: torch.optim.AdamW(p, 0.01, (0.8, 0.9), eps=0.001, weight_decay=0.5)
    ),
    "rmsprop": torch.optim.RMSprop,
    "rmsprop(lr=0.02, alpha=0.9, eps=0.001, momentum=0.9, weight_decay=0.1)": (
        lambda p: torch.optim.RMSprop(p, 0.02, alpha=0.9, eps=0.001, momentum=0.9, weight_decay=0.1)
    ),
}
COMPILED = [case for case in CASES if not case.startswith("sgd")]
"""Gradient descent is compiled in tests/module and tests/test_torch.py."""


def bound(case: str) -> Any:
    """The optimizer that a spec's text names."""
    name, _, given = case.rstrip(")").partition("(")
    kind = OPTIMIZERS[name]
    values = {field.name: field.default for field in kind.FIELDS}
    for argument in filter(None, given.split(", ")):
        key, _, value = argument.partition("=")
        values[key] = value == "yes" if key == "nesterov" else float(value)
    return kind.bind(values)


def close(found: np.ndarray, wanted: Any, start: np.ndarray, limit: float) -> None:
    """Equal, relative to how far the steps have gone."""
    wanted = wanted.detach().numpy()
    assert abs(found - wanted).max() < limit * abs(wanted - start).max()


@pytest.mark.parametrize("case", CASES)
def test_twenty_steps_of_the_reference_agree(case: str) -> None:
    rng, optimizer = np.random.default_rng(0), bound(case)
    start = rng.standard_normal((3, 5))
    weight, state = start.copy(), {slot: np.zeros((3, 5)) for slot in optimizer.SLOTS}
    tensor = torch.tensor(start, requires_grad=True)
    update = CASES[case]([tensor])
    for time in range(1, STEPS + 1):
        grad = rng.standard_normal((3, 5)) * 10.0 ** rng.integers(-4, 2)
        tensor.grad = torch.tensor(grad)
        update.step()
        weight = optimizer.step(weight, grad, state, time)
    close(weight, tensor, start, 1e-9)


SHAPES = {
    "small": (5, 3, 17),
    # Its gradient is computed in tiles, whose rows end within a register, and of batches that are
    # gone through in several parts.
    "large": (90, 100, 300),
}
"""Inputs, outputs and samples of a dense layer."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", [*COMPILED, "sgd(lr=0.1, momentum=0.5, nesterov=yes)"])
def test_twenty_compiled_steps_agree(case: str, shape: str, tmp_path: Path) -> None:
    size, made, samples = SHAPES[shape]
    path = tmp_path / "line.cnn"
    path.write_text(
        f"model line {{\n    input x: float32[{size}]\n    dense({made})\n}}\n"
        f"train {{\n    loss mse\n    optimizer {case}\n}}\n",
        encoding="utf-8",
    )
    model, net = compile_spec(path).load().Model(seed=1), torch.nn.Linear(size, made)
    start = {name: view.copy() for name, view in model.parameters.items()}
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), start.values(), strict=True):
            parameter.copy_(torch.from_numpy(value))
    update, rng = CASES[case](net.parameters()), np.random.default_rng(1)
    for _ in range(STEPS):
        x = rng.standard_normal((samples, size)).astype(np.float32)
        y = (3 * x[:, np.arange(made) % size] - 1).astype(np.float32)
        update.zero_grad()
        torch.nn.functional.mse_loss(net(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        update.step()
        model.train_step(x, y)
    for (name, view), parameter in zip(model.parameters.items(), net.parameters(), strict=True):
        close(view, parameter, start[name], 1e-4)
