"""The picture of a profile, where matplotlib is installed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from cnnc.measure import Ceilings, Lap, Profile
from cnnc.measure.roofline import draw_roofline

pytest.importorskip("matplotlib")

CEILINGS = Ceilings(150.0, 12.0, (("L1", 300.0), ("L2", 130.0), ("L3", 28.0)))
LAPS = (
    Lap("image", "input", "load", "", 4, 4e-5, 0, 250_000),
    Lap("conv1", "conv 3x3", "forward", "conv1_forward", 4, 1e-3, 10**8, 10**6),
    Lap("conv1", "conv 3x3", "weight gradient", "conv1_weight_gradient", 4, 2e-3, 10**8, 10**6),
    Lap("dense1", "dense", "forward", "dense1_forward", 4, 1e-5, 10**6, 10**6),
    Lap("outside kernels", "outside kernels", "", "", 6, 1e-5),
)


def made(*laps: Lap) -> Profile:
    return Profile("net", "x86-64-v3", True, 64, 10, 3e-3, laps, CEILINGS)


def test_a_picture_is_svg_and_the_same_every_time(tmp_path: Path) -> None:
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    draw_roofline(made(*LAPS), first)
    draw_roofline(made(*LAPS), second)
    assert first.read_bytes() == second.read_bytes()
    assert ET.fromstring(first.read_text()).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314


@pytest.mark.parametrize("laps", [(), LAPS[:1], LAPS[-1:]])
def test_a_picture_of_a_network_without_multiply_adds(
    tmp_path: Path, laps: tuple[Lap, ...]
) -> None:
    draw_roofline(made(*laps), tmp_path / "net.svg")
    assert (tmp_path / "net.svg").stat().st_size > 1000


def test_kinds_are_added_up_and_the_longest_is_first() -> None:
    another = Lap("conv2", "conv 3x3", "forward", "conv2_forward", 4, 3e-3, 10**7, 10**5)
    kinds = made(*LAPS, another).by_kind()
    assert (kinds[0].layer, kinds[0].direction) == ("conv 3x3 x2", "forward")
    assert kinds[0].seconds == pytest.approx(4e-3)
    assert (kinds[0].flops, kinds[0].bytes, kinds[0].calls) == (11 * 10**7, 11 * 10**5, 8)
    assert [kind.seconds for kind in kinds] == sorted((k.seconds for k in kinds), reverse=True)
