"""Long lines of generated code."""

from __future__ import annotations

import pytest

from cnnc.codegen.text import fold, unbracket

LINES = (
    "result[channel * 64 + row] = outer(inner(first[channel], 2, 3), second[row * 8])",
    "total += outer(first[channel * 8], 1) * other(second[row * 8], third[row * 8])",
    "result[row] = (first[channel * 64 + row] - second[channel]) * third[channel * 64 + row]",
    "store(result + row * 64 + column, outer(first[channel * 64 + row * 8], second[row]), 1)",
)


INDEXED = (
    "result[(filters + filter) * 900 + rows * 120 + columns * 4] = left[channel * 64] + bias[row]",
    "+ epilogue1[(filters + filter) * 900 + rows * 120 + row * 30 + columns * 4],",
    "vequal(x[planes * 144 + rows * 12 + columns * 4 + plane * 7 + row], best) & free",
    "<const float*>(scratch + point * 385 + group * 24 + row * 30 + columns * 4)",
    '"block1.layer1.conv1.weight": ((128, 416, 1, 1), 1803456, 0.1200961153, 0.0, True),',
)


@pytest.mark.parametrize("line", INDEXED)
@pytest.mark.parametrize("width", [70, 75])
def test_an_index_that_is_too_long_stands_on_its_own_lines(line: str, width: int) -> None:
    folded = fold("    " + line, width)
    assert all(len(part) <= width for part in folded.splitlines())
    bare = folded.replace("\n", "").replace(" ", "").replace("best,)", "best)")
    wanted = line.replace(" ", "")
    assert bare in (wanted, wanted.replace("=", "=(", 1) + ")")


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("width", [60, 75, 90])
def test_a_folded_line_fits_and_says_the_same(line: str, width: int) -> None:
    folded = fold("    " + line, width)
    assert all(len(part) <= width for part in folded.splitlines())
    bare = folded.replace("\n", "").replace(" ", "").replace(",)", ")")
    wanted = line.replace(" ", "")
    # An assignment that is no single call is put in parentheses.
    assert bare in (wanted, wanted.replace("=", "=(", 1) + ")")


def test_a_line_that_fits_stays() -> None:
    assert fold(LINES[0], 100) == LINES[0]


def test_brackets_of_a_declaration_stand_on_their_own_lines() -> None:
    line = "    def call(self, image: Array[Any]) -> tuple[Array[float], Array[float]]: ..."
    assert unbracket(line, 100) == line
    assert unbracket(line, 60).splitlines() == [
        "    def call(self, image: Array[Any]) -> tuple[",
        "        Array[float], Array[float]",
        "    ]: ...",
    ]
    assert unbracket("    ('one', 'two', 'three and four'),", 24).splitlines() == [
        "    (",
        "        'one',",
        "        'two',",
        "        'three and four',",
        "    ),",
    ]
    assert unbracket("    no brackets at all", 10) == "    no brackets at all"
