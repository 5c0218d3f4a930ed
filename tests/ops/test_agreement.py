"""Every op's reference in float32 against PyTorch in float64, where that is installed.

Values and all gradients, over the ops' own examples. That the compiled kernels agree with the
references is test_kernels.py's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.diagnostics import Source
from cnnc.frontend import parse, resolve
from cnnc.ir.interpret import interpret
from cnnc.ops.loss import LossOp
from cnnc.ops.op import RANDOM, Example
from cnnc.ops.shapes import Array
from cnnc.passes.differentiate import differentiate
from tests.ops.examples import EXAMPLES, arrays, operand_shapes

torch = pytest.importorskip("torch")
torch_ops = pytest.importorskip("tests.torch_ops")

TOLERANCE = 1e-5
COMPARED = [(name, e) for name, e in EXAMPLES if RANDOM not in operand_shapes(e)]


def in_torch(array: Array) -> Any:
    """A leaf in float64; labels as they are."""
    tensor = torch.from_numpy(np.array(array))
    return tensor.double().requires_grad_() if array.dtype.kind == "f" else tensor.long()


def close(found: Array, wanted: Any, what: str) -> None:
    wanted = wanted.detach().numpy()
    assert found.shape == wanted.shape, what
    assert found.dtype == np.float32, what
    scale = max(float(abs(wanted).max(initial=0)), 1e-6)
    assert abs(found - wanted).max(initial=0) <= TOLERANCE * scale, what


@pytest.mark.parametrize(("name", "example"), COMPARED, ids=[name for name, _ in COMPARED])
def test_values_and_gradients(name: str, example: Example) -> None:
    op = example.op
    operands = {
        key: array.astype(np.float32) if array.dtype.kind == "f" else array
        for key, array in arrays(example, 3).items()
    }
    tensors = {key: in_torch(array) for key, array in operands.items()}
    if isinstance(op, LossOp):
        wanted = torch_ops.sample_losses(op, tensors["input"], tensors["target"])
    else:
        wanted = torch_ops.forward(op, tensors)
    output = op.forward(operands)
    close(output, wanted, name)
    grad = np.random.default_rng(3).standard_normal(output.shape).astype(np.float32)
    wanted.backward(torch.from_numpy(grad).double())
    known = {**operands, "output": output}
    for operand, shape in operand_shapes(example).items():
        if isinstance(op, LossOp) and operand != "input":
            continue
        reads = {read: known[read] for read in op.gradient_reads(operand)}
        found = op.backward(operand, grad, reads, shape)
        close(found, tensors[operand].grad, f"{name} by {operand}")


@pytest.mark.parametrize("affine", ["yes", "no"])
@pytest.mark.parametrize("shape", ["17", "3, 5", "4, 3, 2", "2, 2, 3, 2"])
def test_batchnorm_and_its_gradients(shape: str, affine: str) -> None:
    """It has no kernel of its own: what it is expanded to is compared."""
    layer = f"batchnorm(eps=0.001, momentum=0.3, affine={affine})"
    train = "train { loss mse; optimizer sgd(1) }"
    text = f"model m {{ input x: float32[{shape}]; s: prelu -> b: {layer}; {train} }}"
    graph = resolve(parse(Source("m.cnn", text)))
    rng = np.random.default_rng(5)
    extents = graph.nodes[0].shape
    x, target = (rng.standard_normal((9, *extents)).astype(np.float32) for _ in range(2))
    parameters = {p.name: rng.uniform(0.5, 2, p.shape).astype(np.float32) for p in graph.parameters}
    shares = {"loss_grad": np.full(9, 1 / 9, np.float32), "live": np.ones(9, np.float32)}
    feeds = {"x": x, "target": target, **shares}
    whole = differentiate(graph)
    assert whole.step is not None
    assert whole.training is not None
    step = interpret(whole.step, feeds, parameters)
    leaves = {name: in_torch(array) for name, array in parameters.items()}
    inputs = {"x": in_torch(x)}

    for training in (False, True):
        running = {n: t.detach() if "running" in n else t for n, t in leaves.items()}
        values = torch_ops.run(graph, inputs, running, training=training)
        nodes = step if training else interpret(whole, feeds, parameters)
        close(nodes["b"], values["b"], f"training={training}")
    loss = torch_ops.network_loss(whole.training.losses[0].loss, values["b"], in_torch(target))
    values["s"].retain_grad()
    loss.backward()
    for name, node in whole.step.gradients:
        if name != "s.weight":
            close(step[node], leaves[name].grad, name)
    (slope,) = (n.name for n in whole.step.nodes if n.op.NAME == "channel_slope")
    close(step[slope], values["s"].grad, "input")
    statistics = next(n for n in whole.step.nodes if n.op.NAME == "batch_statistics")
    count = x.size // x.shape[1]
    before = (parameters["b.running_mean"], parameters["b.running_var"])
    after = statistics.op.running(step[statistics.name], *before, count)  # type: ignore[union-attr]
    close(after[0], leaves["b.running_mean"], "running mean")
    close(after[1], leaves["b.running_var"], "running variance")


def test_every_layer_and_loss_is_compared() -> None:
    compared = {name.rpartition("-")[0] for name, _ in COMPARED}
    from cnnc.ops import LOSSES, OPS

    # batchnorm has its own test; what split gives are slices
    assert {*OPS, *LOSSES} - compared == {"batchnorm", "split"}
