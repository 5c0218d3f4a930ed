"""Index arithmetic, tiles and layouts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Layout
from cnnc.ops.loops import Loop, register_tile, split

NAMES = ("row", "column", "i")
TERMS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(-9, 9)), max_size=5)


@given(TERMS, st.integers(-20, 20), st.lists(st.integers(-5, 5), min_size=3, max_size=3))
def test_an_affine_prints_as_the_value_that_it_stands_for(
    terms: list[tuple[str, int]], constant: int, values: list[int]
) -> None:
    total = Affine.of(constant)
    wanted, scope = constant, dict(zip(NAMES, values, strict=True))
    for name, coefficient in terms:
        total = total + Affine.of(name) * coefficient
        wanted += scope[name] * coefficient
    assert eval(str(total), {}, dict(scope)) == wanted  # noqa: S307 - its own text


def test_constants_are_folded() -> None:
    row = Affine.of("row")
    assert str(row * 1 + 0) == "row"
    assert str(row * 0 + 3) == "3"
    assert str(row * 4 + Affine.of("c") * 4 + 2) == "(row + c) * 4 + 2"
    assert str(3 - row) == "3 - row"


@given(st.integers(1, 500), st.integers(1, 40))
def test_tiles_cover_an_extent_exactly_with_two_widths_at_most(extent: int, size: int) -> None:
    parts = split(extent, size)
    covered = [
        n
        for a, b, width in parts
        for first in range(a, b, width)
        for n in range(first, first + width)
    ]
    assert covered == list(range(extent))
    assert len(parts) <= 2
    assert all(width <= size for _, _, width in parts)


@given(st.integers(1, 80), st.integers(1, 80), st.sampled_from([16, 32]))
def test_a_register_tile_fits(scalars: int, vectors: int, registers: int) -> None:
    s, v = register_tile(scalars, vectors, registers)
    assert 1 <= s <= scalars
    assert 1 <= v <= vectors
    assert s * v <= registers - 4


def test_a_loop_of_one_trip_is_a_constant() -> None:
    assert not Loop("row", 0, 1).runs
    assert str(Loop("row", 0, 1).at) == "0"
    assert Loop("row", 0, 10, 4).trips == 3
    assert Loop("row", 2, 9, 4).last == 6


def test_a_layout_counts_its_halo() -> None:
    layout = Layout(3, (4, 5), ((1, 1), (2, 0)))
    assert layout.padded() == (6, 7)
    assert layout.size == 126
    assert layout.offset(1, 0, 0) == 42 + 7 + 2
