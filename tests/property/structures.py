"""What networks are made of besides chains: branches, gates, splits, repeats, choices, blocks."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from tests.property import layers

if TYPE_CHECKING:
    from tests.property.writer import Writer


def join(writer: Writer) -> None:
    """Branches from the current value that meet again."""
    pen, shape = writer.pen, writer.current
    start = []
    if pen.flag(0.4):
        start, shape = writer.run(shape, 2)
    names = [writer.name("b") for _ in range(pen.rng.choice((2, 2, 3)))]
    if start:
        writer.say(pen.chain(start))
        writer.current = shape
    for name in names:
        writer.bind(name, writer.same(shape), shape)
    same = [n for n, s in writer.values.items() if s == shape and n not in names]
    if same and pen.flag():
        names[-1] = pen.rng.choice(same)
        writer.extra = "" if names[-1] == writer.extra else writer.extra
    elif pen.flag(0.1):
        names[-1] = names[0]
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
    writer.say(pen.chain(texts))
    writer.current = shape


def gate(writer: Writer) -> None:
    """A product or difference with something that spreads over channels or space."""
    pen, shape = writer.pen, writer.current
    if len(shape) == 1:
        return join(writer)
    name, c = writer.name("g"), shape[0]
    main = writer.name("m")
    writer.say(f"{main} = {pen.chain(writer.same(shape))}")
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
    writer.say(f"{name} = {pen.chain(texts)}")
    writer.say(f"{pen.rng.choice(('mul', 'mul', 'sub'))}({main}, {name})")
    return None


def split(writer: Writer) -> None:
    pen, c = writer.pen, writer.current[0]
    if c < 2:
        return writer.layers()
    equal = [n for n in (2, 3, 4) if c % n == 0]
    if equal and pen.flag():
        count = pen.rng.choice(equal)
        parts = [c // count] * count
        text = f"split({pen.count(count)})"
    else:
        first = pen.rng.randint(1, c - 1)
        parts = [first, c - first]
        text = f"split([{first}, {c - first}])"
    names = [writer.name("s") for _ in parts]
    writer.say(f"{', '.join(names)} = {text}")
    joined = []
    for name, part in zip(names, parts, strict=True):
        shape = (part, *writer.current[1:])
        made = writer.name("t")
        writer.say(f"{made} = {pen.chain([name, *writer.same(shape)])}")
        joined.append(made)
        writer.values[name] = shape
    pen.rng.shuffle(joined)
    writer.say(f"concat({', '.join(joined)})")
    return None


def repeat(writer: Writer) -> None:
    """Passes that keep the shape; some with a shortcut, some with a counter, some labelled."""
    pen = writer.pen
    label = f"{writer.name('stage')}: " if pen.flag(0.3) else ""
    times = pen.rng.choice((1, 2, 2, 3, 0))
    head = f"repeat {times}" if pen.flag(0.7) else f"repeat {writer.name('i')} in 2..{times + 1}"
    inner = [pen.chain(writer.same(writer.current)).replace("\n", "\n    ")]
    if pen.flag():
        start, new = writer.name("r"), writer.name("r")
        inner = [f"{start} = identity", f"{new} = {inner[0]}", f"add({new}, {start})"]
    writer.say(f"{label}{head} {{")
    writer.network.body += [f"    {line}" for line in inner]
    writer.network.body.append("}")


def choice(writer: Writer) -> None:
    """Two chains of which one is built."""
    pen = writer.pen
    texts, shape = writer.run(writer.current, 2)
    other, _ = writer.run(writer.current, 2)
    taken, left = " -> ".join(texts), " -> ".join(other)
    a = pen.rng.randint(0, 5)
    test = pen.rng.choice((f"{a} < {a + 1}", "yes", f"{a} == {a} and not {a} > 7"))
    if pen.flag():
        taken, left, test = left, taken, f"not ({test})"
    writer.say(
        f"{taken} if {test}\n        else {left}"
        if pen.flag()
        else f"{taken} if {test} else {left}"
    )
    writer.current = shape


def block(writer: Writer) -> None:
    """A block made for the current shape, called once or twice, from another one at times."""
    pen, outer = writer.pen, dict(writer.pen.scope)
    name, shape = writer.name("block"), writer.current
    own = {writer.name("p"): pen.rng.choice((1, 2, 4, 6)) for _ in range(pen.rng.randint(0, 2))}
    lets = {n: v for n, v in outer.items() if f"let {n} =" in "\n".join(writer.network.top)}
    pen.scope = {**lets, **own}
    flag = writer.name("p")
    a, b = writer.name("c"), writer.name("c")
    lines = [f"{a} = {pen.chain(writer.same(shape))}", f"{b} = identity"]
    kept = writer.same(shape)
    lines.append(f"add({a}, {b}) -> {kept[-1]} if {flag} else {a} -> {' -> '.join(kept)}")
    written = [f"{p}={v}" if pen.flag() else p for p, v in own.items()]
    written.sort(key=lambda p: "=" in p)
    again = pen.flag(0.3)
    writer.network.top.append(
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
        wrapper = writer.name("block")
        fixed = ", ".join(f"{p}={own[p]}" for p in own if p in written)
        writer.network.top.append(
            f"block {wrapper} {{ {name}({fixed}) -> relu -> {name}({fixed}) }}"
        )
        call = wrapper
    writer.say(pen.chain([call, *([call] if pen.flag(0.2) else [])]))


STRUCTURES = (join, gate, split, repeat, choice, block)
