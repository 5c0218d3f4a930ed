"""docs/layers.md: every layer, loss, optimizer and initialiser, as FIELDS say; examples resolve."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cnnc.diagnostics import Source
from cnnc.frontend import parse, resolve
from cnnc.ops import INITIALIZERS, LOSSES, OPS, OPTIMIZERS
from cnnc.ops.field import Field, Kind
from cnnc.ops.initializers import AUTOMATIC

PAGE = (Path(__file__).parents[1] / "docs" / "layers.md").read_text(encoding="utf-8")
CHAPTERS: dict[str, dict[str, type[Any]]] = {
    "Layers": OPS,
    "Losses": LOSSES,
    "Optimizers": OPTIMIZERS,
    "Initialisers": dict(INITIALIZERS),
}
SECTIONS = {
    section[1]: section[0]
    for section in re.finditer(r"^### `(\w+)`$.*?(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
CASES = [(name, kind) for chapter in CHAPTERS.values() for name, kind in chapter.items()]
KINDS = {
    Kind.COUNT: "a positive integer",
    Kind.INTEGER: "an integer",
    Kind.NUMBER: "a number",
    Kind.NUMBERS: "a number or a list of numbers",
    Kind.FLAG: "`yes` or `no`",
    Kind.COUNTS: "a positive integer or a list of them",
    Kind.EXTENT: "an extent",
    Kind.PADDING: "a padding",
    Kind.INITIALIZER: "an initialiser",
}


UNWRITTEN = {
    "class_weights": "1 each",
    "ignore_index": "none",
    "stride": "the window's size",
}
"""What a default that has no spelling of its own is called, by field."""


def written(default: object) -> str:
    """A default as a spec writes it."""
    match default:
        case bool():
            return "yes" if default else "no"
        case float() if default.is_integer():
            return str(int(default))
        case _:
            return re.sub(r"e-0", "e-", str(default))


def signature(name: str, kind: Any) -> str:
    """How the layer is written; a default that cannot be written is an ellipsis."""
    given = [argument(field) for field in kind.FIELDS]
    inputs = getattr(kind, "INPUTS", 1)
    values = {1: [], 2: ["a", "b"], None: ["a", "b", "..."]}[inputs]
    return f"{name}({', '.join(values + given)})" if values or given else name


def argument(field: Field) -> str:
    if field.required:
        return field.name
    plain = field.default is not None and field.default is not AUTOMATIC
    return f"{field.name}={written(field.default) if plain else '…'}"


def words(choices: tuple[str, ...]) -> str:
    """`a`, `b` or `c`."""
    *most, last = (f"`{word}`" for word in choices)
    return f"{', '.join(most)} or {last}"


def row(field: Field) -> str:
    """The field's line of the table of arguments, without its meaning's last words."""
    kind = words(field.choices) if field.kind is Kind.WORD else KINDS[field.kind]
    if field.minimum is not None:
        kind += f", at least {written(field.minimum)}"
    if field.below is not None:
        kind += f", below {written(field.below)}"
    default = f"`{written(field.default)}`"
    if field.required:
        default = "required"
    elif field.default is None:
        default = UNWRITTEN[field.name]
    elif field.default is AUTOMATIC:
        default = "`he` or `glorot`"
    return f"| `{field.name}` | {kind} | {default} | {field.doc.split(';')[0]}"


def test_the_page_keeps_the_order_of_the_lists() -> None:
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == [*CHAPTERS, "Windows"]
    assert list(SECTIONS) == [name for name, _ in CASES]


@pytest.mark.parametrize(("name", "kind"), CASES, ids=[name for name, _ in CASES])
def test_signature_and_arguments(name: str, kind: Any) -> None:
    section = SECTIONS[name]
    assert f"\n    {signature(name, kind)}\n" in section
    rows = [line for line in section.split("\n") if line.startswith("| `")]
    assert len(rows) == len(kind.FIELDS)
    for line, field in zip(rows, kind.FIELDS, strict=True):
        assert line.startswith(row(field)), f"expected: {row(field)}"


@pytest.mark.parametrize("name", SECTIONS)
def test_the_example_resolves(name: str) -> None:
    (example,) = re.findall(r"```cnn\n(.*?)```", SECTIONS[name], re.DOTALL)
    assert re.search(rf"\b{name}\b", example)
    if example.startswith("train"):
        text = f"model example {{\ninput x: float32[8]\ndense(10)\n}}\n{example}"
    else:
        text = f"model example {{\n{example}}}\n"
    warnings: list[Any] = []
    resolve(parse(Source("layers.md", text)), warn=warnings.append)
    assert not warnings
