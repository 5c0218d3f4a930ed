"""Random wrong specs: right ones with mistakes, the language's words in any order, hostile ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from cnnc.ops import OPS
from tests.property.hostile import hostile
from tests.property.networks import network, text_of

ROOT = Path(__file__).resolve().parents[2]
TOKEN = re.compile(
    r"[A-Za-z_]\w*|[0-9][0-9.xeE]*|\"[^\"\n]*\"|->|\*\*|//|[<>=!]=|\.\.|\s+|.", re.DOTALL
)
_EXTREMES = """
    0 -1 10**18 1e308 0x0 9223372036854775807 9223372036854775808 1e999 -0.0 1e-320 007 1_000 .5.
    65536x65536 1x0 2**62 1e308*10 nan inf 1/0 0/0 9**9**9 (-8)**(1/3) 3x 3x3x3x3x3x3x3x3x3 1.5
    -9223372036854775808 1e18 2147483648 4294967296 0.1 1e-300 16777217 no yes
    "7" [] [1,[2]] (1,2,3)
"""
EXTREMES = _EXTREMES.split()
CHARACTERS = (
    "\0\t\r\n\f\v\"'`\\;{}()[],.:=#@$%^&*~?é\u200b\u2028\ufeff\u0301\u202e\U0001f600\ud800\x1b²x٣"
)
_TERMINALS = """
    model block import train input output let repeat in if else and or not yes no true false -> ( )
    { } [ ] , : ; .. = == != < <= > >= + - * / // % ** 0 1 2 3 5 16 0.5 1e-3 3x3 5x5 "a.cnn"
    x y main image float32 uint8 conv dense relu maxpool batchnorm flatten add concat split softmax
    filters kernel stride pad same valid groups he constant mse cross_entropy sgd adam loss
    optimizer data batch epochs weight output lr min max ceil floor identity dropout reshape
    slice upsample
"""
TERMINALS = (*_TERMINALS.split(), "\n", "\n", "\n")


@cache
def seeds() -> tuple[str, ...]:
    """The texts that mutations start from: specs, the language's examples, those of the errors."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "specs").glob("*.cnn"))]
    errors = sorted((ROOT / "tests" / "errors").glob("*.cnn"))
    texts += [path.read_text(encoding="utf-8") for path in errors]
    page = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    texts += re.findall(r"```cnn\n(.*?)```", page, re.DOTALL) * 3
    return tuple(text for text in texts if len(text) < 6000)


def case(seed: int) -> str:
    """The text of that seed."""
    rng = Random(seed)  # noqa: S311 - no secret
    kind = rng.random()
    if kind < 0.25:
        text = (
            text_of([network(rng.randrange(10**6))]) if rng.random() < 0.6 else rng.choice(seeds())
        )
        return rng.choice(GENTLE)(rng, text)
    if kind < 0.55:
        return mutated(rng, rng.choice(seeds()))
    if kind < 0.72:
        return mutated(rng, text_of([network(rng.randrange(10**6))]))
    if kind < 0.86:
        return soup(rng)
    text = hostile(rng)
    return mutated(rng, text) if rng.random() < 0.3 else text


def mutated(rng: Random, text: str) -> str:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        text = rng.choice(MUTATIONS)(rng, text)
    return text


def _tokens(rng: Random, text: str) -> str:
    """Delete, double, exchange or replace tokens."""
    tokens = TOKEN.findall(text) or [""]
    at, other = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    match rng.randrange(5):
        case 0:
            del tokens[at]
        case 1:
            tokens.insert(at, tokens[at])
        case 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case 3:
            tokens[at] = tokens[other]
        case _:
            tokens[at] = rng.choice(TERMINALS)
    return "".join(tokens)


def _of_kind(
    pattern: str, make: Callable[[Random, list[str]], str]
) -> Callable[[Random, str], str]:
    """A mutation that replaces one token that a pattern matches."""

    def mutate(rng: Random, text: str) -> str:
        tokens = TOKEN.findall(text)
        places = [i for i, token in enumerate(tokens) if re.fullmatch(pattern, token)]
        if not places:
            return text
        tokens[rng.choice(places)] = make(rng, [tokens[i] for i in places])
        return "".join(tokens)

    return mutate


def _characters(rng: Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    match rng.randrange(3):
        case 0:
            return text[:at] + rng.choice(CHARACTERS) + text[at:]
        case 1:
            return text[:at] + text[at + rng.randint(1, 10) :]
        case _:
            return text[:at]


def _lines(rng: Random, text: str) -> str:
    lines = text.split("\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case _:
            lines[at] += lines.pop(other) if len(lines) > other != at < len(lines) - 1 else " ->"
    return "\n".join(lines)


def _long(rng: Random, _: list[str]) -> str:
    return rng.choice("aZ_9é") * rng.choice((63, 64, 65, 300, 5000))


MUTATIONS: tuple[Callable[[Random, str], str], ...] = (
    _tokens,
    _tokens,
    _tokens,
    _characters,
    _lines,
    _of_kind(r"[0-9].*", lambda rng, _: rng.choice(EXTREMES)),
    _of_kind(r"[0-9].*", lambda rng, _: rng.choice(EXTREMES)),
    _of_kind(r"[0-9].*", lambda rng, _: str(rng.randint(-1, 20))),
    _of_kind(r"[A-Za-z_]\w*", lambda rng, names: rng.choice(names)),
    _of_kind(r"[A-Za-z_]\w*", _long),
    _of_kind(r"[][(){}]", lambda rng, _: rng.choice(["", "", "(", "]", "}"])),
)


GENTLE: tuple[Callable[[Random, str], str], ...] = (
    _of_kind(r"[0-9]+", lambda rng, _: str(rng.randint(1, 9))),
    _of_kind(r"[0-9]+", lambda rng, numbers: rng.choice(numbers)),
    _of_kind("|".join(OPS), lambda rng, layers: rng.choice(layers)),
    _of_kind("|".join(OPS), lambda rng, _: rng.choice(sorted(OPS))),
    _of_kind("yes|no|true|false", lambda rng, _: rng.choice(("yes", "no"))),
    _of_kind("float32|uint8", lambda rng, _: rng.choice(("float32", "uint8"))),
)
"""Mutations that often leave a network, though an odd one."""


def soup(rng: Random) -> str:
    words = rng.choices(TERMINALS, k=rng.randint(1, 80))
    text = " ".join(words)
    if rng.random() < 0.7:
        text = f"model m(n=1) {{\ninput image: float32[3, 8, 8]\n{text}\n}}"
    return text
