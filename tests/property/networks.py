"""Random well-formed networks as texts of the language, several of which can share one model.

The writer keeps track of every shape by itself, so that the compiler's shape rules are checked by
what it says of the outputs. All that a network names begins with its prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from random import Random

from tests.property import layers
from tests.property.layers import Shape
from tests.property.pen import Pen

SHAPES: tuple[Shape, ...] = (
    *((c,) for c in (1, 3, 17, 8, 30)),
    *((c, n) for c in (1, 3, 17) for n in (1, 7, 16, 33)),
    *((c, h, w) for c in (1, 3, 17) for h, w in ((7, 5), (8, 8), (1, 9), (11, 6))),
    *((c, 3, 5, 4) for c in (1, 3, 17)),
    (2, 4, 3, 3),
)
OPTIMIZERS = (
    "sgd(lr=0.1)",
    "sgd(0.05, momentum=0.9, nesterov=yes)",
    "adam",
    "adamw(lr=0.01)",
    "rmsprop(momentum=0.5)",
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


def text_of(networks: Sequence[Network], optimizer: str = "sgd(lr=0.1)") -> str:
    """One model of several networks that share nothing."""
    top = [line for network in networks for line in network.top]
    body = [line for network in networks for line in network.body]
    outputs = ", ".join(name for network in networks for name in network.outputs)
    losses = [f"loss {loss}" for network in networks for loss in network.losses]
    return "\n".join(
        [
            *top,
            "model random_network {",
            *(f"    {line}" for line in body),
            f"    output {outputs}",
            "}",
            "train {",
            *(f"    {loss}" for loss in losses),
            f"    optimizer {optimizer}",
            "}",
            "",
        ]
    )


def lines_of(networks: Sequence[Network]) -> list[tuple[range, range]]:
    """Which lines of that text, from 1, are whose: those of its top and of its body."""
    tops = ["\n".join(network.top).count("\n") + bool(network.top) for network in networks]
    bodies = ["\n".join(network.body).count("\n") + bool(network.body) for network in networks]
    found, top, body = [], 1, sum(tops) + 2
    for above, within in zip(tops, bodies, strict=True):
        found.append((range(top, top + above), range(body, body + within)))
        top, body = top + above, body + within
    return found


def network(seed: int, prefix: str = "") -> Network:
    """The network of that seed."""
    return from_random(Random(seed), prefix, seed)


def from_random(rng: Random, prefix: str = "", seed: int = 0) -> Network:
    """A network of a source of random choices, hypothesis' own for one."""
    return _Writer(Pen(rng), Network(prefix, seed)).write()


@dataclass
class _Writer:
    """Writes statements one after the other."""

    pen: Pen
    network: Network
    current: Shape = ()
    values: dict[str, Shape] = field(default_factory=dict)
    """Named values of the model that later statements may read."""
    extra: str = ""
    """An input that is still to be used."""
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
        kinds = (self.layers, self.layers, self.join, self.gate, self.split, self.block)
        kinds += (self.repeat, self.choice, self.let)
        for _ in range(pen.rng.randint(2, 5)):
            pen.rng.choice(kinds)()
        self.use_extra()
        self.heads()
        return self.network

    def inputs(self) -> None:
        pen = self.pen
        shape = pen.rng.choice(SHAPES)
        pixels = pen.flag(0.3)
        name = self.name("x")
        sizes = ", ".join(map(pen.count, shape))
        if pen.flag(0.2):
            self.extra = self.name("y")
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

    def join(self) -> None:
        """Branches from the current value that meet again."""
        pen, shape = self.pen, self.current
        start = []
        if pen.flag(0.4):
            start, shape = self.run(shape, 2)
        names = [self.name("b") for _ in range(pen.rng.choice((2, 2, 3)))]
        if start:
            self.say(pen.chain(start))
            self.current = shape
        for name in names:
            self.bind(name, self.same(shape), shape)
        same = [n for n, s in self.values.items() if s == shape and n not in names]
        if same and pen.flag():
            names[-1] = pen.rng.choice(same)
            self.extra = "" if names[-1] == self.extra else self.extra
        kind = pen.rng.choice(("add", "concat", "sub", "mul"))
        if kind == "concat" and prod(shape) * len(names) > layers.LARGEST:
            kind = "add"
        if kind in ("sub", "mul"):
            names = names[:2]
        texts = [f"{kind}({', '.join(names)})"]
        if kind == "concat":
            shape = (shape[0] * len(names), *shape[1:])
        if pen.flag(0.4):
            texts += [layers.activation(pen, shape)[0]]
        self.say(pen.chain(texts))
        self.current = shape

    def gate(self) -> None:
        """A product or difference with something that spreads over channels or space."""
        pen, shape = self.pen, self.current
        if len(shape) == 1:
            return self.join()
        name, c = self.name("g"), shape[0]
        main = self.name("m")
        self.say(f"{main} = {pen.chain(self.same(shape))}")
        squash = pen.rng.choice(("sigmoid", "hardsigmoid", "tanh"))
        spread = pen.rng.choice(("channels", "flat", "space", "all"))
        if spread == "channels":
            texts = ["global_avgpool(keep=yes)", f"conv({c}, 1)", squash]
        elif spread == "flat":
            texts = ["global_avgpool", "dense(3)", "relu", f"dense({pen.count(c)})", squash]
        elif spread == "space":
            texts = [f"conv(1, {pen.extent([3] * len(shape[1:]))}, pad=same)", squash]
        else:
            texts = ["conv(1, 1)", "global_maxpool(keep=yes)", squash]
        self.say(f"{name} = {pen.chain(texts)}")
        self.say(f"{pen.rng.choice(('mul', 'mul', 'sub'))}({main}, {name})")
        return None

    def split(self) -> None:
        pen, c = self.pen, self.current[0]
        if c < 2:
            return self.layers()
        equal = [n for n in (2, 3, 4) if c % n == 0]
        if equal and pen.flag():
            count = pen.rng.choice(equal)
            parts = [c // count] * count
            text = f"split({pen.count(count)})"
        else:
            first = pen.rng.randint(1, c - 1)
            parts = [first, c - first]
            text = f"split([{first}, {c - first}])"
        names = [self.name("s") for _ in parts]
        self.say(f"{', '.join(names)} = {text}")
        joined = []
        for name, part in zip(names, parts, strict=True):
            shape = (part, *self.current[1:])
            made = self.name("t")
            self.say(f"{made} = {pen.chain([name, *self.same(shape)])}")
            joined.append(made)
            self.values[name] = shape
        pen.rng.shuffle(joined)
        self.say(f"concat({', '.join(joined)})")
        return None

    def let(self) -> None:
        name, value = self.name("let"), self.pen.rng.choice((1, 2, 3, 5, 6))
        self.say(f"let {name} = {self.pen.count(value)}")
        self.pen.scope[name] = value
        self.layers()

    def repeat(self) -> None:
        """Passes that keep the shape; some with a shortcut, some with a counter, some labelled."""
        pen = self.pen
        label = f"{self.name('stage')}: " if pen.flag(0.3) else ""
        times = pen.rng.choice((1, 2, 2, 3, 0))
        head = f"repeat {times}" if pen.flag(0.7) else f"repeat {self.name('i')} in 2..{times + 1}"
        inner = [pen.chain(self.same(self.current)).replace("\n", "\n    ")]
        if pen.flag():
            start, new = self.name("r"), self.name("r")
            inner = [f"{start} = identity", f"{new} = {inner[0]}", f"add({new}, {start})"]
        self.say(f"{label}{head} {{")
        self.network.body += [f"    {line}" for line in inner]
        self.network.body.append("}")

    def choice(self) -> None:
        """Two chains of which one is built."""
        pen = self.pen
        texts, shape = self.run(self.current, 2)
        other, _ = self.run(self.current, 2)
        taken, left = " -> ".join(texts), " -> ".join(other)
        a = pen.rng.randint(0, 5)
        test = pen.rng.choice((f"{a} < {a + 1}", "yes", f"{a} == {a} and not {a} > 7"))
        if pen.flag():
            taken, left, test = left, taken, f"not ({test})"
        self.say(f"{taken} if {test}\n        else {left}" if pen.flag() else f"{taken} if {test} else {left}")
        self.current = shape

    def block(self) -> None:
        """A block made for the current shape, called once or twice, from another one at times."""
        pen, outer = self.pen, dict(self.pen.scope)
        name, shape = self.name("block"), self.current
        own = {self.name("p"): pen.rng.choice((1, 2, 4, 6)) for _ in range(pen.rng.randint(0, 2))}
        lets = {n: v for n, v in outer.items() if f"let {n} =" in "\n".join(self.network.top)}
        pen.scope = {**lets, **own}
        flag = self.name("p")
        a, b = self.name("c"), self.name("c")
        lines = [f"{a} = {pen.chain(self.same(shape))}", f"{b} = identity"]
        kept = self.same(shape)
        lines.append(f"add({a}, {b}) -> {kept[-1]} if {flag} else {a} -> {' -> '.join(kept)}")
        written = [f"{p}={v}" if pen.flag() else p for p, v in own.items()]
        written.sort(key=lambda p: "=" in p)
        again = pen.flag(0.3)
        self.network.top.append(
            "\n".join(
                [
                    f"block {name}({', '.join([*written, f'{flag}=yes'])}) {{",
                    *(f"    {line}" for line in lines),
                    "}",
                ]
            )
        )
        pen.scope = outer
        given = {p: pen.count(own[p]) for p in written if "=" not in p}
        options = {flag: pen.rng.choice(("yes", "no"))} if pen.flag() else {}
        call = pen.call(name, given, options)
        if again:
            wrapper = self.name("block")
            fixed = ", ".join(f"{p}={own[p]}" for p in own if p in written)
            self.network.top.append(
                f"block {wrapper} {{ {name}({fixed}) -> relu -> {name}({fixed}) }}"
            )
            call = wrapper
        self.say(pen.chain([call, *([call] if pen.flag(0.2) else [])]))

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
            self.say(f"{name} = tanh")
            self.network.outputs[name] = self.current

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
