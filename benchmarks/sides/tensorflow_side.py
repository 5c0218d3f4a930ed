"""TensorFlow: whole steps in tf.function, channels last, with oneDNN; `xla` compiles them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tensorflow as tf

from cnnc.ir.interpret import operand_names
from sides.channels_last import ChannelsLast, outputs_first, samples_last
from sides.network import Batch, Network, NotComparedError
from sides.updates import moments, update

Values = dict[str, Any]
SPACE = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


class TensorFlowSide:
    """Variables, and functions that TensorFlow traced once a batch size."""

    def __init__(self, network: Network, threads: int, variant: str) -> None:
        _set_up(threads)
        self._network = network
        self._turn = ChannelsLast(network)
        self._function = partial(tf.function, jit_compile=variant == "xla", autograph=False)
        self._values: Values = {}

    def load(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take over weights, as new variables."""
        arrays = self._turn.parameters(weights)
        self._values = {name: tf.Variable(array) for name, array in arrays.items()}

    def samples(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """As the caller of `inference` has them."""
        return samples_last(self._network.prepare(samples))

    def inference(self, size: int) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """NumPy in and out. Weights are constants, which TensorFlow may rearrange beforehand."""
        network = self._network
        constants = {name: tf.constant(v.numpy()) for name, v in self._values.items()}
        shape = (size, *samples_last(np.empty((1, *network.shape(network.entry)))).shape[1:])

        def run(samples: Any) -> Any:
            return forward(network, constants, samples, training=False)[0]

        signature = [tf.TensorSpec(shape, tf.float32)]
        call = self._function(run, input_signature=signature).get_concrete_function()
        return lambda samples: outputs_first(call(tf.constant(samples)).numpy())

    def batch(self, batch: Batch) -> tuple[Any, Any]:
        """As `step` takes it."""
        samples, labels = batch
        values = samples_last(self._network.prepare(samples))
        return tf.constant(values), tf.constant(labels)

    def training(self, size: int) -> Callable[[Any], float]:
        """A step: forward, backward and optimizer; the loss before it."""
        del size
        network, values = self._network, self._values
        zeros = [
            {name: tf.Variable(tf.zeros_like(values[name])) for name in network.trained}
            for _ in range(moments(network))
        ]
        count = tf.Variable(1.0)

        def advance(samples: Any, labels: Any) -> Any:
            loss, moved, grads = _judge(network, values, samples, labels)
            for name, grad in grads.items():
                old = [kept[name] for kept in zeros]
                found = update(network.optimizer, values[name], grad, old, count)
                for variable, value in zip((values[name], *old), found, strict=True):
                    variable.assign(value)
            for name, value in moved.items():
                values[name].assign(value)
            count.assign_add(1.0)
            return loss

        call = self._function(advance)
        return lambda batch: float(call(*batch).numpy())

    def gradients(self, batch: Any) -> dict[str, NDArray[np.float32]]:
        """Of the mean loss of a batch."""
        call = self._function(partial(_gradients, self._network, self._values))
        return self._turn.back({name: grad.numpy() for name, grad in call(*batch).items()})


def make(network: Network, threads: int, variant: str) -> TensorFlowSide:
    """The side."""
    return TensorFlowSide(network, threads, variant)


@cache
def _set_up(threads: int) -> None:
    """Once a process: later, TensorFlow refuses."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _gradients(network: Network, values: Values, samples: Any, labels: Any) -> Values:
    return _judge(network, values, samples, labels)[2]


def _judge(
    network: Network, values: Values, samples: Any, labels: Any
) -> tuple[Any, Values, Values]:
    """Mean cross entropy, the moved statistics, and the gradients."""
    with tf.GradientTape() as tape:
        logits, moved = forward(network, values, samples, training=True)
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_mean(each)
    trained = network.trained
    grads = tape.gradient(loss, [values[name] for name in trained])
    return loss, moved, dict(zip(trained, grads, strict=True))


def forward(
    network: Network, parameters: Values, samples: Any, *, training: bool
) -> tuple[Any, Values]:
    """The output and the moved statistics."""
    values: Values = {network.entry: samples}
    moved: Values = {}
    for node in network.layers:
        names = operand_names(node).items()
        of = {k: parameters[v] if v in node.parameters else values[v] for k, v in names}
        name: str = node.op.NAME
        if name == "batchnorm" and training:
            values[node.name], fresh = _batch_statistics(node.op, of)
            moved.update({f"{node.name}.{kind}": array for kind, array in fresh.items()})
        elif name == "dropout" and training:
            values[node.name] = tf.nn.dropout(of["input"], getattr(node.op, "rate", 0.0))
        elif name in LAYERS:
            values[node.name] = LAYERS[name](node.op, of)
        else:
            raise NotComparedError(f"no {name} in TensorFlow's network")
    return values[network.result], moved


def _biased(op: Any, of: Values, value: Any) -> Any:
    return tf.nn.bias_add(value, of["bias"]) if op.bias else value


def _conv(op: Any, of: Values) -> Any:
    x, weight = of["input"], of["weight"]
    pads = [[0, 0], *map(list, op.pad), [0, 0]]
    if op.groups > 1:
        return _biased(op, of, _depthwise(op, x, weight, pads))
    if len(op.kernel) == 2:
        y = tf.nn.conv2d(x, weight, op.stride, pads, dilations=op.dilation)
    else:
        same = all(
            2 * before == k - 1 and before == after and s == 1
            for k, (before, after), s in zip(op.kernel, op.pad, op.stride, strict=True)
        )
        x = x if same else tf.pad(x, pads)
        y = tf.nn.convolution(
            x, weight, op.stride, "SAME" if same else "VALID", SPACE[len(op.kernel)], op.dilation
        )
    return _biased(op, of, y)


def _depthwise(op: Any, x: Any, weight: Any, pads: Any) -> Any:
    """Of a filter a channel: (h, w, 1, channels) is (h, w, channels, 1) there."""
    if op.filters != op.groups or len(op.kernel) != 2:
        raise NotComparedError("a convolution in groups of several channels")
    turned = tf.transpose(weight, (0, 1, 3, 2))
    return tf.nn.depthwise_conv2d(x, turned, (1, *op.stride, 1), pads, dilations=op.dilation)


def _conv_transpose(op: Any, of: Values) -> Any:
    x, weight = of["input"], of["weight"]
    if op.groups > 1 or any(map(any, op.pad)) or any(op.output_pad):
        raise NotComparedError("a transposed convolution with groups or padding")
    rank = len(op.kernel)
    turned = tf.transpose(weight, (*range(rank), rank + 1, rank))
    extents = zip(x.shape[1:-1], op.kernel, op.stride, strict=True)
    shape = (x.shape[0], *((n - 1) * s + k for n, k, s in extents), op.filters)
    y = tf.nn.conv_transpose(x, turned, shape, op.stride, "VALID", SPACE[len(op.kernel)])
    return _biased(op, of, y)


def _maxpool(op: Any, of: Values) -> Any:
    if op.ceil or any(map(any, op.pad)):
        raise NotComparedError("a pooling that pads or rounds up")
    layout = SPACE[len(op.size)]
    return tf.nn.max_pool(of["input"], op.size, op.stride, "VALID", layout)


def _batch_statistics(op: Any, of: Values) -> tuple[Any, Values]:
    """By the fused kernel, which normalises by the variance and yields the unbiased one."""
    x = of["input"]
    ones, zeros = tf.ones(op.channels), tf.zeros(op.channels)
    factor, shift = (of["weight"], of["bias"]) if op.affine else (ones, zeros)
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, factor, shift, epsilon=op.eps)
    seen = {"running_mean": mean, "running_var": variance}
    return y, {k: (1 - op.momentum) * of[k] + op.momentum * array for k, array in seen.items()}


def _normalised(op: Any, of: Values) -> Any:
    statistics = of["running_mean"], of["running_var"]
    factor, shift = (of["weight"], of["bias"]) if op.affine else (None, None)
    return tf.nn.batch_normalization(of["input"], *statistics, shift, factor, op.eps)


def _global_avgpool(op: Any, of: Values) -> Any:
    x = of["input"]
    return tf.reduce_mean(x, tuple(range(1, x.ndim - 1)), keepdims=op.keep)


LAYERS: dict[str, Callable[[Any, Values], Any]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dense": lambda op, of: _biased(op, of, tf.matmul(of["input"], of["weight"])),
    "maxpool": _maxpool,
    "batchnorm": _normalised,
    "dropout": lambda _, of: of["input"],
    "identity": lambda _, of: of["input"],
    "relu": lambda _, of: tf.nn.relu(of["input"]),
    "flatten": lambda _, of: tf.reshape(of["input"], (of["input"].shape[0], -1)),
    "global_avgpool": _global_avgpool,
    "add": lambda _, of: tf.add_n(list(of.values())),
    "concat": lambda _, of: tf.concat(list(of.values()), -1),
}
