"""PyTorch: modules of torch.nn, with a forward method that torch.fx writes as a user would.

Variants: `first` and `last` are eager, with contiguous and with channels-last tensors; `compile` is
torch.compile on channels-last ones. Inference folds batch normalisation into the convolutions, as
PyTorch's own recipe does, and runs in inference mode; optimizers are the fused ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.nn.functional import cross_entropy

from cnnc.ir.graph import Node
from sides.network import Batch, Network, NotComparedError

IN_PLACE_AFTER = {"conv", "conv_transpose", "dense", "batchnorm", "add"}
"""Whose results relu may overwrite: no gradient of theirs reads them."""


class TorchSide:
    """One module, its optimizer, and what the variant makes of them."""

    def __init__(self, network: Network, threads: int, variant: str) -> None:
        _set_up(threads)
        self._network = network
        self._compiled = variant == "compile"
        flat = len(network.shape(network.entry)) == 3 and _has_planes(network)
        last = variant != "first" and flat
        self._format = torch.channels_last if last else torch.contiguous_format
        self._net = build(network).to(memory_format=self._format)
        self._run = torch.compile(self._net) if self._compiled else self._net
        self._optimizer = _optimizer(network, self._net)

    def load(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take over weights; the optimizer forgets."""
        own = {_attribute(name): array for name, array in weights.items()}
        with torch.no_grad():
            for name, tensor in (*self._net.named_parameters(), *self._net.named_buffers()):
                if name in own:
                    tensor.copy_(torch.from_numpy(own[name]))
        self._optimizer.state.clear()

    def samples(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """As the caller of `inference` has them."""
        return self._network.prepare(samples)

    def inference(self, size: int) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """NumPy in and out."""
        del size
        net: Any = fuse(deepcopy(self._net).eval()).to(memory_format=self._format)
        if self._compiled:
            net = torch.compile(net)
        form = self._format
        mode = torch.no_grad if self._compiled else torch.inference_mode

        def run(samples: NDArray[Any]) -> NDArray[np.float32]:
            with mode():
                values = torch.from_numpy(samples)
                if values.ndim == 4:
                    values = values.contiguous(memory_format=form)
                found: NDArray[np.float32] = net(values).numpy()
                return found

        return run

    def batch(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """As `step` takes it."""
        samples, labels = batch
        values = torch.from_numpy(self._network.prepare(samples))
        if values.ndim == 4:
            values = values.contiguous(memory_format=self._format)
        return values, torch.from_numpy(labels)

    def training(self, size: int) -> Callable[[Any], float]:
        """A step: forward, backward and optimizer; the loss before it."""
        del size
        self._net.train()
        run, optimizer = self._run, self._optimizer

        def step(batch: tuple[torch.Tensor, torch.Tensor]) -> float:
            samples, labels = batch
            optimizer.zero_grad()
            loss = cross_entropy(run(samples), labels)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    def gradients(self, batch: Any) -> dict[str, NDArray[np.float32]]:
        """Of the mean loss of a batch."""
        self._net.train()
        self._optimizer.zero_grad()
        cross_entropy(self._run(batch[0]), batch[1]).backward()
        own = dict(self._net.named_parameters())
        names = self._network.trained
        grads = {name: own[_attribute(name)].grad for name in names}
        return {name: grad.numpy().copy() for name, grad in grads.items() if grad is not None}


def make(network: Network, threads: int, variant: str) -> TorchSide:
    """The side."""
    return TorchSide(network, threads, variant)


@cache
def _set_up(threads: int) -> None:
    """Once a process, or PyTorch refuses."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)


def build(network: Network) -> nn.Module:
    """Modules by the layers' names, and a forward method that calls them in order."""
    modules: dict[str, nn.Module] = {}
    graph = torch.fx.Graph()
    values = {network.entry: graph.placeholder("samples")}
    for node in network.layers:
        operands = tuple(values[name] for name in node.inputs)
        made = _layer(network, node)
        if isinstance(made, nn.Module):
            name = _attribute(node.name)
            modules[name] = made
            values[node.name] = graph.call_module(name, operands)
        else:
            values[node.name] = made(graph, operands)
    graph.output(values[network.result])
    return torch.fx.GraphModule(modules, graph)


def _layer(network: Network, node: Node) -> Any:
    """A module, or a function that puts a call into the graph."""
    op: Any = node.op
    match op.NAME:
        case "conv" | "conv_transpose":
            return _convolution(network, node)
        case "dense":
            return nn.Linear(network.shape(node.inputs[0])[0], op.units, bias=op.bias)
        case "batchnorm":
            kind = _ranked("BatchNorm{}d", len(node.shape) - 1)
            return kind(op.channels, op.eps, op.momentum, op.affine)
        case "maxpool":
            pad = _even(op.pad)
            return _ranked("MaxPool{}d", len(op.size))(op.size, op.stride, pad, ceil_mode=op.ceil)
        case "relu":
            return nn.ReLU(inplace=_may_overwrite(network, node.inputs[0]))
        case "dropout":
            return nn.Dropout(op.rate)
        case "flatten":
            return nn.Flatten()
        case "global_avgpool":
            axes = tuple(range(2, 1 + len(network.shape(node.inputs[0]))))
            return partial(_call, torch.mean, extra=(axes, op.keep))
        case "add":
            return lambda graph, operands: graph.call_function(torch.add, operands)
        case "concat":
            return lambda graph, operands: graph.call_function(torch.cat, (operands, 1))
        case "identity":
            return lambda _, operands: operands[0]
    raise NotComparedError(f"no {op.NAME} in PyTorch's network")


def _call(function: Any, graph: Any, operands: Any, extra: tuple[Any, ...]) -> Any:
    return graph.call_function(function, (*operands, *extra))


def _convolution(network: Network, node: Node) -> nn.Module:
    op: Any = node.op
    channels = network.shape(node.inputs[0])[0]
    sizes = {"kernel_size": op.kernel, "stride": op.stride, "padding": _even(op.pad)}
    rest = {"dilation": op.dilation, "groups": op.groups, "bias": op.bias}
    if op.NAME == "conv":
        return _ranked("Conv{}d", len(op.kernel))(channels, op.filters, **sizes, **rest)
    kind = _ranked("ConvTranspose{}d", len(op.kernel))
    return kind(channels, op.filters, output_padding=op.output_pad, **sizes, **rest)


def _may_overwrite(network: Network, tensor: str) -> bool:
    if tensor == network.entry or len(network.graph.consumers(tensor)) > 1:
        return False
    return network.graph.node(tensor).op.NAME in IN_PLACE_AFTER


def _has_planes(network: Network) -> bool:
    return any(node.op.NAME.startswith("conv") for node in network.layers)


def _attribute(name: str) -> str:
    """A layer's or parameter's name as PyTorch has it: dots only before the parameter."""
    stem, dot, last = name.rpartition(".")
    kinds = {"weight", "bias", "running_mean", "running_var"}
    if last in kinds:
        return stem.replace(".", "_") + dot + last
    return name.replace(".", "_")


def _even(pads: Any) -> tuple[int, ...]:
    if any(before != after for before, after in pads):
        raise NotComparedError("a padding that differs before and after")
    return tuple(before for before, _ in pads)


def _ranked(name: str, rank: int) -> Any:
    return getattr(nn, name.format(rank))


def _optimizer(network: Network, net: nn.Module) -> torch.optim.Optimizer:
    settings = asdict(network.optimizer)
    kind = type(network.optimizer).__name__
    if kind == "Sgd":
        return torch.optim.SGD(net.parameters(), **settings, fused=True)
    if kind == "Adam":
        betas = (settings.pop("beta1"), settings.pop("beta2"))
        return torch.optim.Adam(net.parameters(), betas=betas, **settings, fused=True)
    raise NotComparedError(f"no optimizer {kind}")
