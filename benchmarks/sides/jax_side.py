"""JAX: jax.jit of whole steps that give up their old parameters, channels last."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from cnnc.ir.interpret import operand_names
from sides.channels_last import ChannelsLast, outputs_first, samples_last
from sides.network import Batch, Network, NotComparedError
from sides.updates import moments, update

LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}
Values = dict[str, Any]


class JaxSide:
    """Pure functions of the network, and the state that the caller holds for them."""

    def __init__(self, network: Network, threads: int) -> None:
        del threads  # XLA takes as many as this process has processors
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_cpu_enable_async_dispatch", val=False)
        self._network = network
        self._turn = ChannelsLast(network)
        self._start: Values = {}

    def load(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take over weights."""
        self._start = {k: jnp.array(a) for k, a in self._turn.parameters(weights).items()}

    def samples(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """As the caller of `inference` has them."""
        return samples_last(self._network.prepare(samples))

    def inference(self, size: int) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """NumPy in and out."""
        del size
        parameters = self._start

        @jax.jit
        def run(samples: Any) -> Any:
            return forward(self._network, parameters, samples)[0]

        return lambda samples: outputs_first(np.asarray(run(samples)))

    def batch(self, batch: Batch) -> tuple[Any, Any]:
        """As `step` takes it."""
        samples, labels = batch
        values = samples_last(self._network.prepare(samples))
        return jnp.array(values), jnp.array(labels.astype(np.int32))

    def training(self, size: int) -> Callable[[Any], float]:
        """A step: forward, backward and optimizer; the loss before it."""
        del size
        network, trained = self._network, self._network.trained
        values = {name: array.copy() for name, array in self._start.items()}
        zeros = [{n: jnp.zeros_like(values[n]) for n in trained} for _ in range(moments(network))]
        state = (values, zeros, jnp.array(1, jnp.int32), jax.random.key(0, impl="rbg"))
        advance = jax.jit(partial(_advance, network), donate_argnums=0)

        def step(batch: tuple[Any, Any]) -> float:
            nonlocal state
            state, loss = advance(state, *batch)
            return float(loss)

        return step

    def gradients(self, batch: Any) -> dict[str, NDArray[np.float32]]:
        """Of the mean loss of a batch."""
        trained = {name: self._start[name] for name in self._network.trained}
        key = jax.random.key(0, impl="rbg")
        found = jax.jit(jax.grad(partial(_loss, self._network), has_aux=True))
        grads, _ = found(trained, self._start, *batch, key)
        return self._turn.back(grads)


def make(network: Network, threads: int, variant: str) -> JaxSide:
    """The side."""
    del variant
    os.environ.setdefault("NPROC", str(threads))
    return JaxSide(network, threads)


def _loss(
    network: Network, trained: Values, values: Values, samples: Any, labels: Any, key: Any
) -> tuple[Any, Values]:
    """Mean cross entropy, and the statistics that batch normalisation brings on."""
    logits, moved = forward(network, {**values, **trained}, samples, key)
    logs = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(logs, labels[..., None], -1)
    return -picked.mean(), moved


def _advance(network: Network, state: Any, samples: Any, labels: Any) -> tuple[Any, Any]:
    values, kept, count, key = state
    key, now = jax.random.split(key)
    trained = {name: values[name] for name in network.trained}
    judge = jax.value_and_grad(partial(_loss, network), has_aux=True)
    (loss, moved), grads = judge(trained, values, samples, labels, now)
    new, moments_ = {**values, **moved}, [dict(m) for m in kept]
    for name in trained:
        old = [m[name] for m in kept]
        new[name], *fresh = update(network.optimizer, values[name], grads[name], old, count)
        for moment, array in zip(moments_, fresh, strict=True):
            moment[name] = array
    return (new, moments_, count + 1, key), loss


def forward(
    network: Network, parameters: Values, samples: Any, key: Any = None
) -> tuple[Any, Values]:
    """The output and the moved statistics; with a key for random choices it is training."""
    values, moved = {network.entry: samples}, {}
    for number, node in enumerate(network.layers):
        names = operand_names(node).items()
        of = {k: parameters[v] if v in node.parameters else values[v] for k, v in names}
        name: str = node.op.NAME
        if name == "batchnorm" and key is not None:
            values[node.name], fresh = _batch_statistics(node.op, of)
            moved.update({f"{node.name}.{kind}": array for kind, array in fresh.items()})
        elif name == "dropout" and key is not None:
            values[node.name] = _dropout(node.op, of, jax.random.fold_in(key, number))
        elif name in LAYERS:
            values[node.name] = LAYERS[name](node.op, of)
        else:
            raise NotComparedError(f"no {name} in JAX's network")
    return values[network.result], moved


def _conv(op: Any, of: Values) -> Any:
    rest = {"rhs_dilation": op.dilation, "feature_group_count": op.groups}
    layout = LAYOUTS[len(op.kernel)]
    x = of["input"]
    y = lax.conv_general_dilated(
        x, of["weight"], op.stride, op.pad, dimension_numbers=layout, **rest
    )
    return y + of["bias"] if op.bias else y


def _conv_transpose(op: Any, of: Values) -> Any:
    """As lax.conv_transpose with transpose_kernel has it: spread the input, flip the kernel."""
    if op.groups > 1 or any(n > 1 for n in op.dilation):
        raise NotComparedError("a transposed convolution in groups or with dilation")
    axes = tuple(range(len(op.kernel)))
    sizes = zip(op.kernel, op.pad, op.output_pad, strict=True)
    pads = [(k - 1 - before, k - 1 - after + more) for k, (before, after), more in sizes]
    y = lax.conv_general_dilated(
        of["input"],
        jnp.flip(of["weight"], axes),
        (1,) * len(axes),
        pads,
        lhs_dilation=op.stride,
        dimension_numbers=LAYOUTS[len(axes)],
    )
    return y + of["bias"] if op.bias else y


def _dense(op: Any, of: Values) -> Any:
    y = of["input"] @ of["weight"]
    return y + of["bias"] if op.bias else y


def _maxpool(op: Any, of: Values) -> Any:
    if op.ceil:
        raise NotComparedError("a pooling that rounds up")
    window, stride = (1, *op.size, 1), (1, *op.stride, 1)
    pads = ((0, 0), *op.pad, (0, 0))
    return lax.reduce_window(of["input"], -jnp.inf, lax.max, window, stride, pads)


def _affine(op: Any, of: Values, mean: Any, variance: Any) -> Any:
    factor = lax.rsqrt(variance + op.eps)
    factor = factor * of["weight"] if op.affine else factor
    shifted = (of["input"] - mean) * factor
    return shifted + of["bias"] if op.affine else shifted


def _batch_statistics(op: Any, of: Values) -> tuple[Any, Values]:
    x = of["input"]
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    variance = (x * x).mean(axes) - mean * mean
    count = x.size // x.shape[-1]
    seen = {"running_mean": mean, "running_var": variance * (count / max(1, count - 1))}
    moved = {k: (1 - op.momentum) * of[k] + op.momentum * array for k, array in seen.items()}
    return _affine(op, of, mean, variance), moved


def _dropout(op: Any, of: Values, key: Any) -> Any:
    kept = jax.random.bernoulli(key, 1 - op.rate, of["input"].shape)
    return jnp.where(kept, of["input"] / (1 - op.rate), 0.0)


def _global_avgpool(op: Any, of: Values) -> Any:
    return of["input"].mean(tuple(range(1, of["input"].ndim - 1)), keepdims=op.keep)


LAYERS: dict[str, Callable[[Any, Values], Any]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dense": _dense,
    "maxpool": _maxpool,
    "batchnorm": lambda op, of: _affine(op, of, of["running_mean"], of["running_var"]),
    "dropout": lambda _, of: of["input"],
    "identity": lambda _, of: of["input"],
    "relu": lambda _, of: jax.nn.relu(of["input"]),
    "flatten": lambda _, of: of["input"].reshape(len(of["input"]), -1),
    "global_avgpool": _global_avgpool,
    "add": lambda _, of: sum(of.values()),
    "concat": lambda _, of: jnp.concatenate(tuple(of.values()), -1),
}
