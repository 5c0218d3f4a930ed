"""What layers cost, checked against numbers worked out by hand."""

from __future__ import annotations

from cnnc.diagnostics import Source
from cnnc.frontend.parser import parse
from cnnc.frontend.resolver import resolve
from cnnc.summary import Layer, Summary, summarize


def costs_of(body: str) -> Summary:
    return summarize(resolve(parse(Source("net.cnn", f"model net() {{\n{body}\n}}\n"))))


def layer(costs: Summary, name: str) -> Layer:
    (found,) = [layer for layer in costs.layers if layer.name == name]
    return found


def test_weight_sharing() -> None:
    """The lecture's argument: a few shared weights against one for each pair of values."""
    conv = layer(costs_of("input x: float32[1, 28, 28]; conv(1, 5x5, pad=2)"), "conv1")
    assert conv.parameters == 26
    assert conv.multiply_adds == 784 * 25
    assert conv.dense_parameters == 784 * 784 + 784


def test_dense_layer_of_the_lecture() -> None:
    costs = costs_of("input x: float32[1, 28, 28]; flatten; dense(16)")
    assert costs.parameters == 784 * 16 + 16
    assert costs.dense_parameters == costs.parameters


def test_two_layers_on_a_large_image() -> None:
    costs = costs_of("input x: float32[1, 426, 426]; flatten; dense(16) -> relu; dense(10)")
    assert costs.parameters == 426 * 426 * 16 + 16 + 16 * 10 + 10


def test_receptive_field() -> None:
    costs = costs_of(
        "input x: float32[1, 64, 32]\n"
        "conv(2, 3x3) -> relu -> maxpool(2x2)\n"
        "conv(2, 3x3, stride=2x1) -> conv(2, 3x3)\n"
        "flatten; dense(3)"
    )
    fields = {layer.name: layer.field for layer in costs.layers}
    assert fields["conv1"] == fields["relu1"] == (3, 3)
    assert fields["maxpool1"] == (4, 4)
    assert fields["conv2"] == (8, 8)
    assert fields["conv3"] == (16, 12)
    assert fields["flatten1"] == (16, 12)
    assert fields["dense1"] == (64, 32)


def test_field_is_no_larger_than_the_image() -> None:
    costs = costs_of("input x: float32[1, 6]; conv(1, 5, pad=2); conv(1, 5, pad=2)")
    assert layer(costs, "conv2").field == (6,)


def test_memory() -> None:
    costs = costs_of("input x: uint8[3, 8, 8]; conv(4, 3x3, pad=1); flatten; dense(2)")
    assert layer(costs, "x").activation_bytes == 3 * 64
    assert layer(costs, "conv1").activation_bytes == 4 * 4 * 64
    assert layer(costs, "flatten1").activation_bytes == 0
    assert costs.activation_bytes == 3 * 64 + 4 * 4 * 64 + 8


def test_inputs_of_different_extents_have_no_common_field() -> None:
    costs = costs_of(
        "input x: float32[2, 4]; a = x -> flatten\n"
        "input y: float32[2, 6]; b = y -> flatten\n"
        "concat(a, b)"
    )
    assert costs.layers[-1].field is None
