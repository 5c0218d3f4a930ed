"""What the networks of specs/ count: the published numbers, and the figures of docs/networks.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cnnc.frontend import parse, read_source, resolve
from cnnc.summary import Summary, summarize
from tests.specs.networks import ALL, SPECS

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")

# Trained parameters, as the papers or torchvision's, Caffe's and Keras's models have them.
PUBLISHED = {
    "alexnet": 61_100_840,
    "densenet121": 7_978_856,
    "efficientnet_b0": 5_288_548,
    "googlenet": 6_998_552,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "nin": 966_986,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "squeezenet": 1_235_496,
    "vgg16": 138_357_544,
    "volume": 921_736,
}
# Millions of multiply-adds at the published image size.
WORK = {
    "alexnet": 714,
    "densenet121": 2834,
    "efficientnet_b0": 386,
    "mobilenet_v1": 569,
    "mobilenet_v2": 301,
    "resnet18": 1814,
    "resnet20": 40.8,
    "resnet50": 4089,
    "squeezenet": 349,
    "vgg16": 15470,
}
# Millions of operations, two a multiply-add, that benchmarks count on.
OPERATIONS = {
    "mlp": 0.22,
    "lenet": 0.83,
    "mnist_cnn": 24.0,
    "vgg_small": 308,
    "resnet20": 81.6,
    "mobilenet_small": 33.1,
    "conv1d": 14.5,
}


def costs(name: str, **parameters: float) -> Summary:
    spec = parse(read_source(SPECS / f"{name}.cnn"))
    return summarize(resolve(spec, parameters=parameters))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    assert costs(name).parameters == PUBLISHED[name]


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_residual_networks_of_table_6(depth: int, millions: float) -> None:
    found = costs("resnet20", n=(depth - 2) // 6).parameters
    assert found / 1e6 == pytest.approx(millions, rel=0.02)


def test_resnet101_is_a_parameter_away() -> None:
    assert costs("resnet50", blocks3=23).parameters == 44_549_160


def test_efficientnet_b1_is_a_parameter_away() -> None:
    found = costs("efficientnet_b0", depth=1.1, size=240)
    assert found.parameters == 7_794_184
    assert found.multiply_adds / 1e6 == pytest.approx(687, rel=0.005)


@pytest.mark.parametrize(("alpha", "millions"), [(0.75, 2.6), (0.5, 1.3), (0.25, 0.5)])
def test_narrower_mobilenets_of_table_6(alpha: float, millions: float) -> None:
    assert costs("mobilenet_v1", alpha=alpha).parameters / 1e6 == pytest.approx(millions, abs=0.05)


def test_what_a_network_is_for_does_not_change_its_front() -> None:
    assert costs("resnet18").parameters - costs("resnet18", classes=10).parameters == 990 * 513


@pytest.mark.parametrize("name", WORK)
def test_multiply_adds_are_the_published_ones(name: str) -> None:
    assert costs(name).multiply_adds / 1e6 == pytest.approx(WORK[name], rel=0.005)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_what_benchmarks_count_on(name: str) -> None:
    assert 2 * costs(name).multiply_adds / 1e6 == pytest.approx(OPERATIONS[name], rel=0.01)


# docs/networks.md

ROWS = {
    row[1]: (row[2].strip(), row[3].strip())
    for row in re.finditer(
        r"^\| \[`(\w+)`\]\(\.\./specs/\1\.cnn\) \|.*\|([^|]*)\|([^|]*)\|$", PAGE, re.MULTILINE
    )
}


def test_the_page_has_every_network() -> None:
    assert sorted(ROWS) == ALL


@pytest.mark.parametrize("name", ALL)
def test_the_pages_figures(name: str) -> None:
    found = costs(name)
    assert ROWS[name] == (f"{found.parameters:,}", f"{found.multiply_adds:,}")
