"""Activations against PyTorch, at their limits, and what they say of wrong arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.ops import OPS
from cnnc.ops.field import OpError
from cnnc.ops.op import Op
from cnnc.ops.shapes import Array

SAME: list[tuple[str, dict[str, Any], str]] = [
    ("relu6", {}, "relu6(x)"),
    ("leaky_relu", {"slope": 0.01}, "leaky_relu(x)"),
    ("leaky_relu", {"slope": 0.2}, "leaky_relu(x, 0.2)"),
    ("elu", {"alpha": 1.0}, "elu(x)"),
    ("elu", {"alpha": 0.5}, "elu(x, 0.5)"),
    ("gelu", {"approximate": False}, "gelu(x)"),
    ("gelu", {"approximate": True}, "gelu(x, approximate='tanh')"),
    ("silu", {}, "silu(x)"),
    ("hardswish", {}, "hardswish(x)"),
    ("hardsigmoid", {}, "hardsigmoid(x)"),
    ("sigmoid", {}, "sigmoid(x)"),
    ("tanh", {}, "tanh(x)"),
    ("softplus", {"beta": 1.0}, "softplus(x)"),
    ("softplus", {"beta": 3.0}, "softplus(x, 3.0)"),
    ("softmax", {}, "softmax(x, 1)"),
    ("log_softmax", {}, "log_softmax(x, 1)"),
]


def bind(name: str, *shapes: tuple[int, ...], **arguments: Any) -> Op:
    defaults = {f.name: f.default for f in OPS[name].FIELDS}
    op: Op = OPS[name].bind({**defaults, **arguments}, shapes)
    return op


@pytest.mark.parametrize(("name", "arguments", "expression"), SAME)
def test_values_and_gradients_are_those_of_pytorch(
    name: str, arguments: dict[str, Any], expression: str
) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-8, 8, (2, 5, 40)), rng.uniform(-40, 40, (2, 5, 8))], axis=2)
    x[0, 0, :5] = 0, 3, -3, 6, -0.0  # where slopes break
    grad = rng.standard_normal(x.shape)
    tensor = torch.tensor(x, requires_grad=True)
    space = {**vars(torch.nn.functional), "x": tensor}
    wanted = eval(expression, space)  # noqa: S307 - the text above
    wanted.backward(torch.tensor(grad))
    op = bind(name, (5, 48), **arguments)
    found = op.forward({"input": x})
    operands = {"input": x, "output": found}
    reads = {read: operands[read] for read in op.gradient_reads("input")}
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-8, atol=1e-8)
    gradient = op.backward("input", grad, reads, (5, 48))
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-8, atol=1e-7)


def test_prelu_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, grad = rng.standard_normal((2, 2, 3, 4))
    for shared, count in ((False, 3), (True, 1)):
        weight = rng.uniform(0.1, 0.5, count)
        tensors = [torch.tensor(a, requires_grad=True) for a in (x, weight)]
        wanted = torch.nn.functional.prelu(*tensors)
        wanted.backward(torch.tensor(grad))
        op = bind("prelu", (3, 4), shared=shared)
        operands = {"input": x, "weight": weight}
        np.testing.assert_allclose(op.forward(operands), wanted.detach().numpy())
        by_input = op.backward("input", grad, operands, (3, 4))
        by_weight = op.backward("weight", grad, {"input": x}, (count,))
        np.testing.assert_allclose(by_input, tensors[0].grad.numpy())
        np.testing.assert_allclose(by_weight, tensors[1].grad.numpy())


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_large_logits_do_not_overflow(name: str) -> None:
    x = np.array([[1000.0, 999.0, -1000.0]])
    found = bind(name, (3,)).forward({"input": x})
    assert np.isfinite(found).all()


def _refusal(name: str, *shapes: tuple[int, ...], **arguments: Any) -> OpError:
    with pytest.raises(OpError) as caught:
        bind(name, *shapes, **arguments).output_shape(shapes)
    return caught.value


@pytest.mark.parametrize(
    ("name", "arguments", "argument", "message"),
    [
        ("leaky_relu", {"slope": 1e60}, "slope", "leaky_relu needs a finite float32 number"),
        ("softplus", {"beta": 0}, "beta", "softplus needs a beta above 0, got 0"),
        ("normalize", {"mean": [1, 2], "std": 1}, "mean", "3 channels, got 2"),
        ("normalize", {"mean": 0, "std": [1, 0, 2]}, "std", "deviations above 0, got 0"),
        ("normalize", {"mean": 1e39, "std": 1}, "mean", "finite float32"),
    ],
)
def test_arguments_that_no_float32_can_stand_for(
    name: str, arguments: dict[str, Any], argument: str, message: str
) -> None:
    error = _refusal(name, (3, 4, 4), **arguments)
    assert (error.code, error.argument) == ("bad-value", argument)
    assert message in error.message


@pytest.mark.parametrize("name", ["sub", "mul"])
def test_a_second_value_that_does_not_spread(name: str) -> None:
    error = _refusal(name, (8, 4, 4), (4, 1, 1))
    assert (error.code, error.operand) == ("shape-mismatch", 1)
    assert error.message == f"{name} cannot spread (4, 1, 1) over (8, 4, 4)"
    assert "(8, 1, 1)" in str(error.help)
    turned = _refusal(name, (8, 1, 1), (8, 4, 4))
    assert turned.help == f"the smaller value comes second: exchange the two inputs of {name}"
    assert bind(name, (8, 4, 4), (8,)).output_shape(((8, 4, 4), (8,))) == (8, 4, 4)


def test_normalize_takes_a_number_or_one_a_channel() -> None:
    x: Array = np.arange(24.0).reshape(1, 2, 3, 4)
    found = bind("normalize", (2, 3, 4), mean=[1, 2], std=2).forward({"input": x})
    np.testing.assert_allclose(found[:, 0], (x[:, 0] - 1) / 2)
    np.testing.assert_allclose(found[:, 1], (x[:, 1] - 2) / 2)
    assert bind("normalize", (2, 3, 4), mean=0, std=1).forward({"input": x.astype(np.uint8)}).any()
