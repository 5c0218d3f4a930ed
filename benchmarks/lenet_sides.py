"""LeNet on both sides of the comparison: compiled by cnnc, and in PyTorch as its users write it.

Run by lenet_training.py as `lenet_sides.py SIDE`. Each side trains on the same MNIST batches. cnnc
gets the data set's bytes and converts them in every step; PyTorch gets float32 tensors that were
scaled and cut into batches beforehand.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import ROOT
from worker import serve

from cnnc.ops.optimizers import Sgd
from cnnc.runtime import load_dataset

LENET = ROOT / "specs" / "lenet.cnn"
SAMPLES = 16384
SLICE = 0.02
"""Seconds of one timing, of processor time: one thread, so on an idle machine of wall time too."""
SLICES = 11

Step = Callable[[], float]
Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]


def batches(size: int) -> list[Batch]:
    """The first samples of MNIST in batches."""
    data = load_dataset("mnist")
    images = data.train_images[:SAMPLES].reshape(-1, 1, 28, 28)
    labels = data.train_labels[:SAMPLES].astype(np.int64)
    starts = range(0, SAMPLES - size + 1, size)
    return [(images[i : i + size].copy(), labels[i : i + size].copy()) for i in starts]


def optimizer_settings() -> Sgd:
    """What the spec says after `optimizer`; the fields are called as PyTorch calls its own."""
    from cnnc.compiler import lower
    from cnnc.frontend import read_source

    training = dict(lower(read_source(LENET)))["graph"].training
    if not isinstance(training.optimizer, Sgd):
        raise SystemExit(f"{LENET.name} does not train by sgd: this script has to be adapted")
    return training.optimizer


class CnncSide:
    """train_step of the compiled module on one thread."""

    def __init__(self) -> None:
        from cnnc.compiler import compile_spec

        module = compile_spec(LENET).load()
        self.net = module.Model(seed=0, threads=1)

    def save(self, path: str) -> None:
        """Write the weights for the other side."""
        np.savez(path, **self.net.parameters)

    def steps(self, size: int) -> Iterator[Step]:
        """One step after the other, each on the next batch."""
        net = self.net
        for images, labels in cycle(batches(size)):
            yield partial(net.train_step, images, labels)


class TorchSide:
    """Eager PyTorch; `layout` is its memory format."""

    def __init__(self, layout: str) -> None:
        import torch
        from torch import nn

        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)
        self.format = torch.channels_last if layout == "last" else torch.contiguous_format
        net = nn.Sequential()
        net.add_module("conv1", nn.Conv2d(1, 6, 5, padding=2))
        net.extend([nn.ReLU(), nn.MaxPool2d(2)])
        net.add_module("conv2", nn.Conv2d(6, 16, 5))
        net.extend([nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()])
        net.add_module("dense1", nn.Linear(400, 120))
        net.append(nn.ReLU())
        net.add_module("dense2", nn.Linear(120, 84))
        net.append(nn.ReLU())
        net.add_module("dense3", nn.Linear(84, 10))
        self.net = net.to(memory_format=self.format)
        settings = asdict(optimizer_settings())
        self.optimizer = torch.optim.SGD(self.net.parameters(), **settings)

    def load(self, path: str) -> None:
        """Take over the other side's weights."""
        import torch

        with np.load(path) as arrays, torch.no_grad():
            for name, parameter in self.net.named_parameters():
                parameter.copy_(torch.from_numpy(arrays[name]))

    def steps(self, size: int) -> Iterator[Step]:
        """One step after the other, each on the next batch."""
        import torch
        from torch.nn.functional import cross_entropy

        def step(images: Any, labels: Any) -> float:
            self.optimizer.zero_grad()
            loss = cross_entropy(self.net(images), labels)
            loss.backward()
            self.optimizer.step()
            return loss.item()

        ready = []
        for images, labels in batches(size):
            scaled = torch.from_numpy(images).float() / 255
            ready.append((scaled.to(memory_format=self.format), torch.from_numpy(labels)))
        for inputs, targets in cycle(ready):
            yield partial(step, inputs, targets)


class Timer:
    """Answers what a side is asked."""

    def __init__(self, side: CnncSide | TorchSide) -> None:
        self._side = side
        self._streams: dict[int, Iterator[Step]] = {}

    def losses(self, size: int, count: int) -> list[float]:
        """The losses of the first steps."""
        steps = self._side.steps(size)
        return [next(steps)() for _ in range(count)]

    def rate(self, size: int) -> tuple[float, float]:
        """Samples a second of processor time, and the part of wall time that this process had."""
        if size not in self._streams:
            self._streams[size] = self._side.steps(size)
            self._slice(size)
        slices = [self._slice(size) for _ in range(SLICES)]
        return statistics.median(s[0] for s in slices), statistics.mean(s[1] for s in slices)

    def _slice(self, size: int) -> tuple[float, float]:
        steps, count = self._streams[size], 0
        wall, start = time.perf_counter(), time.process_time()
        while (passed := time.process_time() - start) < SLICE:
            next(steps)()
            count += 1
        return count * size / passed, passed / (time.perf_counter() - wall)


def main(name: str) -> None:
    """Serve one side."""
    side = CnncSide() if name == "cnnc" else TorchSide(name.partition("-")[2])
    timer = Timer(side)
    handlers: dict[str, Callable[..., Any]] = {"losses": timer.losses, "rate": timer.rate}
    for extra in ("save", "load"):
        if hasattr(side, extra):
            handlers[extra] = getattr(side, extra)
    serve(handlers)


if __name__ == "__main__":
    main(sys.argv[1])
