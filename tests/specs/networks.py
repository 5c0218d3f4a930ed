"""The networks of specs/: how each is made small enough to be compiled and compared in a test.

Parameters change sizes and repetitions and leave every kind of layer and connection in place.
Dropout gets the rate 0, at which it drops nothing, since PyTorch's random numbers are others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cnnc.compiler import Compiled, Options, compile_spec

SPECS = Path(__file__).parents[2] / "specs"
ALL = sorted(path.stem for path in SPECS.glob("*.cnn"))


@dataclass(frozen=True)
class Network:
    """A spec with parameters; so many samples are compared.

    A `plain` one's tiles stay rolled (the fixture plain_code): those that take long to compile and
    whose blocks others have as well.
    """

    name: str
    parameters: dict[str, float] = field(default_factory=dict)
    samples: int = 2
    plain: bool = False

    @property
    def path(self) -> Path:
        return SPECS / f"{self.name}.cnn"

    @property
    def options(self) -> Options:
        return Options(parameters=self.parameters)

    def compile(self) -> Compiled:
        return compile_spec(self.path, options=self.options)

    def __str__(self) -> str:
        return self.name


REDUCED = {"size": 64, "classes": 10}
DENSE = {"layers1": 2, "layers2": 3, "layers3": 2, "layers4": 2}
NETWORKS = [
    # Those that take longest come first, so that several processes end together.
    Network("googlenet", {**REDUCED, "rate": 0}, plain=True),
    Network("mobilenet_v2", {**REDUCED, "rate": 0}, plain=True),
    # Half of its rows still repeat, and with both kernels.
    Network("efficientnet_b0", {**REDUCED, "rate": 0, "depth": 0.5}, plain=True),
    # A block that projects, with and without a stride, and one that does not after each.
    Network("resnet50", {**REDUCED, "blocks1": 2, "blocks2": 2, "blocks3": 1, "blocks4": 1}),
    Network("resnet18", REDUCED, plain=True),
    # The paper's smallest growth; three layers in a row, as well as two.
    Network("densenet121", {**REDUCED, "growth": 12, **DENSE}, plain=True),
    Network("mobilenet_v1", REDUCED, plain=True),
    Network("resnet20"),
    Network("unet", {"size": 188, "width": 4}, 1, plain=True),
    Network("squeezenet", {**REDUCED, "rate": 0}, plain=True),
    Network("vgg16", {**REDUCED, "size": 32, "hidden": 64, "rate": 0}, plain=True),
    Network("mobilenet_small"),
    Network("mlp", samples=5),
    Network("lenet", samples=3),
    Network("perceptron", samples=3),
    Network("mnist_cnn", {"rate": 0}, 3),
    Network("vgg_small"),
    Network("nin", {"size": 16, "rate": 0}),
    Network("conv1d"),
    Network("sensor", {"rate": 0}),
    Network("volume", {"rate": 0}),
    Network("two_inputs", samples=4),
    Network("autoencoder", samples=3),
    Network("unet_small"),
    Network("alexnet", {**REDUCED, "hidden": 64, "rate": 0}, plain=True),
    Network("differences"),
    Network("edge"),
    Network("windows"),
    Network("channels"),
    Network("spikes"),
    Network("pooling"),
]
