"""The networks of specs/: how each is made small enough to be compiled and compared in a test.

Parameters change sizes and repetitions and leave every kind of layer and connection in place.
Dropout gets the rate 0, at which it drops nothing, since PyTorch's random numbers are others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cnnc.compiled import Compiled
from cnnc.compiler import Options, compile_spec
from tests.flags import optimized, plain

SPECS = Path(__file__).parents[2] / "specs"
ALL = sorted(path.stem for path in SPECS.glob("*.cnn"))


@dataclass(frozen=True)
class Network:
    """A spec with parameters; so many samples are compared.

    `optimized` ones are compiled as everywhere; the others as most tests' (tests/flags.py).
    """

    name: str
    parameters: dict[str, float] = field(default_factory=dict)
    samples: int = 2
    optimized: bool = False

    @property
    def path(self) -> Path:
        return SPECS / f"{self.name}.cnn"

    @property
    def options(self) -> Options:
        return Options(parameters=self.parameters)

    def compile(self) -> Compiled:
        with optimized() if self.optimized else plain():
            return compile_spec(self.path, options=self.options)

    def __str__(self) -> str:
        return self.name


REDUCED = {"size": 64, "classes": 10}
# A block that projects, with and without a stride, and one that does not after each.
BOTTLENECKS = {"blocks1": 2, "blocks2": 2, "blocks3": 1, "blocks4": 1}
# The paper's smallest growth; three layers in a row, as well as two.
DENSE = {"growth": 12, "layers1": 2, "layers2": 3, "layers3": 2, "layers4": 2}
NETWORKS = [
    # Those that take longest come first, so that several processes end together.
    Network("googlenet", {**REDUCED, "rate": 0}),
    Network("mobilenet_v2", {**REDUCED, "rate": 0}),
    # Half of its rows still repeat, and with both kernels.
    Network("efficientnet_b0", {**REDUCED, "rate": 0, "depth": 0.5}),
    Network("resnet50", {**REDUCED, **BOTTLENECKS}),
    Network("resnet18", REDUCED),
    Network("densenet121", {**REDUCED, **DENSE}),
    Network("mobilenet_v1", REDUCED),
    Network("resnet20", {"n": 2}),
    Network("unet", {"size": 188, "width": 4}, 1),
    Network("squeezenet", {**REDUCED, "rate": 0}),
    Network("vgg16", {**REDUCED, "size": 32, "hidden": 64, "rate": 0}),
    Network("mobilenet_small", optimized=True),
    Network("mlp", samples=5),
    Network("lenet", samples=3, optimized=True),
    Network("perceptron", samples=3),
    Network("mnist_cnn", {"rate": 0}, 3, optimized=True),
    Network("vgg_small"),
    Network("nin", {"size": 16, "rate": 0}),
    Network("conv1d", optimized=True),
    Network("sensor", {"rate": 0}),
    Network("volume", {"rate": 0}),
    Network("two_inputs", samples=4),
    Network("autoencoder", samples=3),
    Network("unet_small"),
    Network("alexnet", {**REDUCED, "hidden": 64, "rate": 0}),
    Network("differences"),
    Network("edge"),
    Network("windows"),
    Network("channels"),
    Network("spikes"),
    Network("pooling"),
]
