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


def fields_of(body: str) -> dict[str, tuple[int, ...] | None]:
    return {layer.name: layer.field for layer in costs_of(body).layers}


def test_statistics_are_counted_apart() -> None:
    costs = costs_of("input x: float32[3, 8, 8]; conv(4, 3x3, bias=no) -> batchnorm")
    norm = layer(costs, "batchnorm1")
    assert (norm.parameters, norm.statistics) == (8, 8)
    assert (costs.parameters, costs.statistics) == (3 * 4 * 9 + 8, 8)


def test_layers_that_learn_without_weighing_their_inputs() -> None:
    """A batchnorm or prelu sees one position; as dense layers they would be something else."""
    costs = costs_of(
        "input x: float32[3, 9, 9]; conv(4, 3x3) -> batchnorm -> prelu -> groupnorm(2)"
        " -> conv_transpose(2, 3x3) -> layernorm"
    )
    learning = [found.name for found in costs.layers if found.dense_parameters is not None]
    assert learning == ["conv1", "conv_transpose1"]
    assert layer(costs, "batchnorm1").field == layer(costs, "prelu1").field == (3, 3)


def test_field_of_statistics_of_a_sample() -> None:
    fields = fields_of("input x: float32[4, 9, 9]; groupnorm(2); global_avgpool; dense(3)")
    assert set(fields.values()) == {(1, 1), (9, 9)}
    assert fields["groupnorm1"] == (9, 9)


def test_field_of_dilated_windows() -> None:
    fields = fields_of(
        "input x: float32[1, 64]; conv(1, 3, dilation=4) -> maxpool(2) -> conv(1, 3, dilation=2)"
    )
    assert fields["conv1"] == (9,)
    assert fields["maxpool1"] == (10,)
    assert fields["conv2"] == (18,)


def test_field_of_what_enlarges() -> None:
    fields = fields_of(
        "input x: float32[1, 32]; maxpool(2) -> conv_transpose(1, 2, stride=2) -> conv(1, 3)"
        " -> upsample(2) -> conv(1, 3) -> upsample(2, mode=linear)"
    )
    assert fields["maxpool1"] == fields["conv_transpose1"] == (2,)
    assert fields["conv1"] == (4,)
    assert fields["upsample1"] == (4,)
    assert fields["conv2"] == (5,)
    assert fields["upsample2"] == (6,)
    assert fields_of("input x: float32[1, 8]; conv_transpose(1, 5, stride=2)")[
        "conv_transpose1"
    ] == (3,)


def test_field_of_adaptive_pools() -> None:
    fields = fields_of("input x: float32[1, 12, 10]; adaptive_avgpool(4) -> conv(1, 2)")
    assert fields["adaptive_avgpool1"] == (3, 4)
    assert fields["conv1"] == (6, 7)


def test_field_after_a_reshape() -> None:
    """Space that a dense layer made has seen all; space made of features has no extent there."""
    fields = fields_of("input x: float32[6]; dense(16) -> reshape([1, 4, 4]) -> conv(2, 3x3)")
    assert fields["conv1"] == (6,)
    fields = fields_of("input x: float32[16]; reshape([1, 4, 4]) -> conv(2, 3x3)")
    assert fields["conv1"] is None


def test_field_through_a_gate() -> None:
    fields = fields_of(
        "input x: float32[4, 9, 9]; c = conv(4, 3x3); g = c -> global_avgpool -> sigmoid; mul(c, g)"
    )
    assert fields["mul1"] == (9, 9)


def test_multiply_adds() -> None:
    costs = costs_of(
        "input x: float32[8, 6, 6]; depthwise(3x3, pad=1) -> conv(4, 1x1, groups=2)"
        " -> conv_transpose(2, 2x2, stride=2)"
    )
    assert layer(costs, "depthwise1").multiply_adds == 8 * 36 * 9
    assert layer(costs, "conv1").multiply_adds == 4 * 4 * 36
    assert layer(costs, "conv_transpose1").multiply_adds == 4 * 2 * 36 * 4
