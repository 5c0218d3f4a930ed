"""Writes a random network's statements, and keeps track of every shape by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.property import layers
from tests.property.layers import Shape
from tests.property.pen import Pen
from tests.property.structures import STRUCTURES

SHAPES: tuple[Shape, ...] = (
    *((c,) for c in (1, 3, 17, 8, 30)),
    *((c, n) for c in (1, 3, 17) for n in (1, 7, 16, 33)),
    *((c, h, w) for c in (1, 3, 17) for h, w in ((7, 5), (8, 8), (1, 9), (11, 6))),
    *((c, 3, 5, 4) for c in (1, 3, 17)),
    (2, 4, 3, 3),
)


@dataclass
class Network:
    """A network's text in parts, and what the writer says of it.

    top: lets and blocks. body: the model's statements, outputs apart. outputs: name -> shape.
    losses: the train block's entries, `output=` included; judged: the outputs that have one.
    """

    prefix: str
    seed: int
    top: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    outputs: dict[str, Shape] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)


@dataclass
class Writer:
    """Writes statements one after the other."""

    pen: Pen
    network: Network
    current: Shape = ()
    values: dict[str, Shape] = field(default_factory=dict)
    """Named values of the model that later statements may read."""
    extra: str = ""
    """An input that is still to be used."""
    fed: set[str] = field(default_factory=set)
    """Inputs, which are no layer's results."""
    names: int = 0

    def name(self, stem: str) -> str:
        self.names += 1
        return f"{self.network.prefix}{stem}{self.names}"

    def say(self, line: str) -> None:
        body = self.network.body
        if body and self.pen.flag(0.05) and "\n" not in body[-1] + line and "#" not in body[-1]:
            body[-1] += f"; {line}"
        else:
            body.append(line)

    def write(self) -> Network:
        pen = self.pen
        for _ in range(pen.rng.choice((0, 0, 1, 2))):
            name, value = self.name("let"), pen.rng.choice((1, 2, 3, 4, 8))
            self.network.top.append(f"let {name} = {pen.count(value)}")
            pen.scope[name] = value
        self.inputs()
        kinds = (Writer.layers, Writer.layers, Writer.let, *STRUCTURES)
        for _ in range(pen.rng.randint(2, 5)):
            pen.rng.choice(kinds)(self)
        self.use_extra()
        self.heads()
        return self.network

    def inputs(self) -> None:
        pen = self.pen
        shape = pen.rng.choice(SHAPES)
        pixels = pen.flag(0.3)
        name = self.name("x")
        self.fed.add(name)
        sizes = ", ".join(map(pen.count, shape))
        if pen.flag(0.2):
            self.extra = self.name("y")
            self.fed.add(self.extra)
            more = pen.rng.choice((shape, (5,), (shape[0],)))
            self.values[self.extra] = more
            self.say(f"input {self.extra}: float32[{', '.join(map(str, more))}]")
        self.say(f"input {name}: {'uint8' if pixels else 'float32'}[{sizes}]")
        self.current = shape
        self.values[name] = shape
        if pixels:
            first = ["scale(1/255)", layers.normalize(pen, shape, 255)[0]]
            self.say(pen.chain([pen.rng.choice(first)]))
            del self.values[name]

    def run(self, shape: Shape, most: int = 3) -> tuple[list[str], Shape]:
        """Some layers in a row, with a label at times."""
        texts = []
        for _ in range(self.pen.rng.randint(1, most)):
            text, shape = layers.layer(self.pen, shape)
            if self.pen.flag(0.05):
                text = f"{self.name('label')}: {text}"
            texts.append(text)
        return texts, shape

    def layers(self) -> None:
        texts, shape = self.run(self.current)
        if self.pen.flag(0.15):
            self.bind(self.name("v"), [*texts], shape)
            return
        self.say(self.pen.chain(texts))
        self.current = shape

    def bind(self, name: str, texts: list[str], shape: Shape) -> None:
        self.say(f"{name} = {self.pen.chain(texts)}")
        self.values[name] = shape

    def same(self, shape: Shape) -> list[str]:
        """Layers that give the shape that they get."""
        pen = self.pen
        texts = []
        if len(shape) == 1 and shape[0] <= 60:
            texts.append(pen.call("dense", {"units": pen.count(shape[0])}))
        elif len(shape) > 1 and shape[0] ** 2 * 9 < layers.PARAMETERS:
            kernel = pen.rng.choice((1, 3)) if len(shape) == 4 else pen.rng.choice((1, 3, 5))
            bias = {"bias": "no"} if pen.flag(0.3) else {}
            required = {"filters": pen.count(shape[0]), "kernel": pen.count(kernel)}
            texts.append(pen.call("conv", required, {"pad": "same"} | bias))
        made = layers.norm(pen, shape)
        if made is not None and pen.flag(0.4):
            texts.append(made[0])
        return [*texts, layers.activation(pen, shape)[0]]

    def let(self) -> None:
        name, value = self.name("let"), self.pen.rng.choice((1, 2, 3, 5, 6))
        self.say(f"let {name} = {self.pen.count(value)}")
        self.pen.scope[name] = value
        self.layers()

    def use_extra(self) -> None:
        """Join the second input, so that it is used."""
        if not self.extra:
            return
        name, shape = self.extra, self.values[self.extra]
        self.extra = ""
        if shape == self.current and self.pen.flag():
            self.say(f"add({name}, {self.pair('e')})")
            return
        parts = []
        for start, size in ((self.pair("f"), self.current), (name, shape)):
            part = self.name("f")
            chain = [start] + (["flatten"] if len(size) > 1 else []) + ["dense(4)"]
            self.say(f"{part} = {' -> '.join(chain)}")
            parts.append(part)
        self.say(f"concat({', '.join(parts)})")
        self.current = (8,)

    def pair(self, stem: str) -> str:
        """A name for the current value."""
        name = self.name(stem)
        self.say(f"{name} = identity")
        return name

    def heads(self) -> None:
        """The outputs, one or two, and what judges them; a third that nothing judges, at times."""
        pen = self.pen
        for number in range(pen.rng.choice((1, 1, 2))):
            name, (texts, shape) = self.name("out"), self.run(self.current, 1)
            if number == 0 and pen.flag(0.7):
                c = pen.rng.choice((2, 3, 5))
                texts.append(f"dense({c})" if len(shape) == 1 else f"conv({c}, 1)")
                shape = (c, *shape[1:])
            self.say(f"{name} = {pen.chain(texts)}")
            self.network.outputs[name] = shape
            self.network.losses.append(self.loss(name, shape))
        if pen.flag(0.15):
            name = self.name("out")
            self.say(f"{name} = {pen.rng.choice(('tanh', 'dropout', 'identity -> identity'))}")
            self.network.outputs[name] = self.current
        inner = [name for name in self.values if name not in self.fed]
        if inner and pen.flag(0.3):
            # A value that is read on the way as well.
            name = pen.rng.choice(inner)
            self.network.outputs[name] = self.values[name]
            if pen.flag():
                self.network.losses.append(self.loss(name, self.values[name]))

    def loss(self, output: str, shape: Shape) -> str:
        pen = self.pen
        options = {"output": output}
        if pen.flag(0.4):
            options["weight"] = pen.number(pen.rng.choice((0.5, 2, 0.25)))
        kind = pen.rng.choice(("cross_entropy", "binary_cross_entropy", "mse", "l1", "huber"))
        weights = f"[{', '.join(str(pen.rng.choice((0.5, 1, 2))) for _ in range(shape[0]))}]"
        if kind == "cross_entropy" and shape[0] > 1:
            if pen.flag(0.3):
                options["label_smoothing"] = "0.1"
            if pen.flag(0.3):
                options["class_weights"] = weights
            if pen.flag(0.3):
                options["ignore_index"] = pen.rng.choice(("0", "255", "-100"))
            return pen.call("cross_entropy", {}, options)
        if kind == "binary_cross_entropy" and pen.flag():
            options["pos_weight"] = pen.rng.choice(("3", weights))
        elif kind == "huber":
            options |= {"delta": "0.5"} if pen.flag() else {}
        return pen.call("mse" if kind == "cross_entropy" else kind, {}, options)
