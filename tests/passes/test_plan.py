"""Planning: memory that is shared never clashes, halos, views, kernels shared by equal layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnc.diagnostics import Source
from cnnc.frontend import parse, resolve
from cnnc.ir.program import Program, Schedule
from cnnc.ir.target import TARGETS
from cnnc.ir.verify import VerifyError, verify_program
from cnnc.ops.layout import Layout
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse
from cnnc.passes.memory import Lifetime, place
from cnnc.passes.plan import plan
from cnnc.passes.room import Room
from cnnc.passes.workspace import Step


def program_of(body: str, *, train: bool = True, target: str = "x86-64-v4") -> Program:
    text = f"model net {{\n{body}\n}}\n"
    if train:
        text += "train {\n loss mse\n optimizer sgd(lr=0.1)\n}\n"
    graph = resolve(parse(Source("net.cnn", text)))
    return verify_program(plan(fuse(differentiate(graph)), TARGETS[target]))


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20), st.integers(0, 6)), max_size=25),
    st.integers(0, 9),
)
def test_what_is_alive_at_once_never_overlaps(
    pieces: list[tuple[int, int, int]], base: int
) -> None:
    lives = [
        Lifetime(f"t{i}", Layout(size), first, first + length)
        for i, (size, first, length) in enumerate(pieces)
    ]
    offsets, top = place(lives, base)
    for a in lives:
        assert base <= offsets[a.tensor] <= top - a.layout.size
        for b in lives:
            if a.tensor < b.tensor and a.meets(b):
                apart = offsets[a.tensor] + a.layout.size <= offsets[b.tensor]
                assert apart or offsets[b.tensor] + b.layout.size <= offsets[a.tensor]


def test_memory_is_shared_and_the_saving_reported() -> None:
    chain = " -> ".join(["input_"] + ["conv(4, 3x3, pad=1) -> relu"] * 6)
    program = program_of(chain.replace("input_ -> ", "input x: float32[4, 8, 8]\n"), train=False)
    inner = "input x: float32[4, 8, 8]\n" + "conv(4, 1x1) -> relu\n" * 6
    dense = program_of(inner, train=False)
    assert dense.infer.size < dense.infer.unplanned / 2
    assert program.infer.size <= program.infer.unplanned


def test_a_padded_convolution_gets_its_halo_as_memory_and_a_pool_none() -> None:
    program = program_of("input x: float32[1, 9, 9]\nmaxpool(3x3, pad=1)\nconv(2, 3x3, pad=1)")
    layouts = {buffer.tensor: buffer.layout for buffer in program.infer.buffers}
    assert layouts["x"].halo == ((0, 0), (0, 0))
    assert layouts["maxpool1"].halo == ((1, 1), (1, 1))


def test_a_halo_lies_at_the_same_place_in_every_schedule_and_is_never_reused() -> None:
    program = program_of("input x: float32[1, 9, 9]\nconv(2, 3x3, pad=1)\nconv(2, 3x3, pad=2)")
    places = [
        {b.tensor: b.offset for b in schedule.buffers if b.pinned}
        for schedule in program.schedules()
    ]
    assert places[0] == places[1] == places[2]
    assert set(places[0]) == {"x", "conv1"}


def test_tensors_with_alike_halos_take_turns_in_one_place() -> None:
    body = "input x: float32[4, 8, 8]\n" + "conv(4, 3x3, pad=1)\n" * 5 + "conv(4, 5x5, pad=2)"
    program = program_of(body, train=False)
    layouts = {b.tensor: (b.offset, b.layout.halo) for b in program.infer.buffers if b.pinned}
    narrow = {offset for offset, halo in layouts.values() if halo == ((1, 1), (1, 1))}
    wide = {offset for offset, halo in layouts.values() if halo == ((2, 2), (2, 2))}
    assert len(layouts) == 6
    assert len(narrow) == 2  # what is read and what is written
    assert len(wide) == 1
    assert not narrow & wide


def test_nothing_may_lie_in_the_zeros_of_another_schedule() -> None:
    program = program_of("input x: float32[1, 9, 9]\nconv(2, 3x3, pad=1)\nflatten -> dense(2)")
    assert program.train is not None
    (first, *others) = program.train.buffers
    assert first.pinned
    moved = [replace(b, offset=program.train.size + b.offset) for b in others]
    ours = replace(first, layout=Layout(first.layout.size), pinned=False)
    train = replace(program.train, buffers=(ours, *moved), size=2 * program.train.size)
    with pytest.raises(VerifyError, match="halo"):
        verify_program(replace(program, train=train))


GATED = """
input x: float32[3, 6, 6]
conv(4, 1x1) -> gelu
first = identity
second = first -> conv(4, 1x1) -> sigmoid
mul(second, first) -> tanh
joined = conv(4, 1x1)
last = add(joined, first) -> gelu
output joined, last
"""


def in_turn(schedule: Schedule | None) -> list[tuple[str, ...]]:
    assert schedule is not None
    return [buffer.names for buffer in schedule.buffers if buffer.also]


def test_what_is_read_for_the_last_time_makes_room_where_it_lies() -> None:
    program = program_of(GATED, train=False)
    assert ("conv1", "gelu1", "add1") in in_turn(program.infer)
    # It is an output, and what comes of it has a place of its own.
    assert not any("conv3" in names for names in in_turn(program.infer))
    (call,) = (call for call in program.infer.calls if call.computes == "gelu1")
    assert call.operands[0].offset == call.operands[-1].offset


def test_a_sum_of_gradients_takes_the_place_of_a_term() -> None:
    body = (
        "input x: float32[3, 8, 8]\nconv(4, 1x1)\na = identity\n"
        "b = a -> maxpool(2x2) -> upsample(2)\nc = a -> conv(4, 1x1)\nadd(a, b, c) -> conv(2, 1x1)"
    )
    program = program_of(body)
    # Pooling's gradient lies where pooling read, and the product's is added to it there.
    gradients = ("identity1_grad_from_maxpool1", "identity1_grad_from_conv2")
    assert ("conv1", *gradients) in in_turn(program.train)


@pytest.mark.parametrize("body", [GATED, GATED.replace("output joined, last", "")])
def test_one_that_is_read_later_keeps_its_place(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(steps: Sequence[Step], room: Room, form_of: Any, ends: Any, late: Any) -> Any:
        """Every tensor in the place of the first that its kernel reads, whoever reads it later."""
        found = {}
        for node in (step.node for step in steps):
            if node.inputs and node.inputs[0] in room.places.layouts:
                found[node.name] = room.places.root(node.inputs[0])
        return found

    monkeypatch.setattr("cnnc.passes.plan.find_in_place", greedy)
    with pytest.raises(VerifyError, match="where another lies"):
        program_of(body, train=False)


def test_flatten_and_identity_cost_no_memory_and_no_call() -> None:
    program = program_of("input x: float32[2, 3, 3]\nconv(2, 3x3)\nidentity\nflatten\ndense(2)")
    assert {b.tensor for b in program.infer.buffers} == {"x", "conv1", "dense1"}
    assert [call.computes for call in program.infer.calls] == ["conv1", "dense1"]


def test_a_view_of_memory_with_a_halo_is_copied_instead() -> None:
    body = (
        "input x: float32[1, 4, 4]\na = conv(1, 3x3, pad=1)\n"
        "b = a -> conv(1, 3x3, pad=1) -> flatten\nc = a -> flatten\nadd(b, c)"
    )
    program = program_of(body, train=False)
    assert "flatten2" in [call.computes for call in program.infer.calls]


def test_layers_of_one_shape_share_their_kernels() -> None:
    program = program_of("input x: float32[4, 8, 8]\n" + "conv(4, 3x3, pad=1) -> relu\n" * 5)
    shared = [kernel for kernel in program.kernels if len(kernel.layers) > 1]
    assert ("conv1", "conv2", "conv3", "conv4") in [kernel.layers for kernel in shared]
    single = [kernel for kernel in program.kernels if kernel.name.endswith("_single")]
    assert len(program.kernels) - len(single) < 12
    assert len(single) < 12


@pytest.mark.parametrize("target", TARGETS)
def test_register_tiles_fit_the_registers(target: str) -> None:
    program = program_of("input x: float32[17, 33, 33]\nconv(19, 5x5, pad=2)", target=target)
    for kernel in program.kernels:
        rows = getattr(kernel.form, "filters", None)
        columns = getattr(kernel.form, "columns", None)
        if rows and columns and kernel.form.writer()[1] == "forward":
            assert rows[0][1] * columns[0][1] <= TARGETS[target].registers - 4


def test_a_large_network_keeps_fewer_partial_gradients() -> None:
    small = program_of("input x: float32[8]\ndense(8)")
    large = program_of("input x: float32[4000, 3, 3]\nconv(2000, 3x3)")
    assert small.groups == 16
    assert large.groups == 1


def test_a_large_dense_layer_sums_its_weight_gradient_once_for_all_blocks() -> None:
    program = program_of("input x: float32[300]\ndense(200) -> relu\ndense(3)")
    assert program.train is not None
    (segment,) = program.train.segments
    assert [call.computes for call in segment.finish] == ["dense1.weight_grad"]
    assert "dense1.weight_grad" not in {call.computes for call in segment.calls}
    # What it reads waits for it, and its place is outside the partial sums.
    assert {buffer.tensor for buffer in program.train.kept} >= {"x"}
    (slot,) = (slot for slot in program.slots if slot.name == "dense1.weight")
    assert program.summed <= slot.offset < program.trained


@pytest.mark.parametrize(
    ("before", "size", "kept"),
    [
        ("scale(1/255) -> flatten", 8, False),
        ("normalize(mean=[0.1, 0.2], std=[0.5, 0.6]) -> flatten", 8, True),  # differs by channel
        ("flatten", 7, True),  # a row ends within a register
    ],
)
def test_what_is_loaded_is_not_kept_where_the_array_can_be_read_again(
    before: str, size: int, kept: bool
) -> None:
    text = f"input image: uint8[2, 9, {size}]\n{before}\ndense(96) -> relu\ndense(3)"
    program = program_of(text)
    assert program.train is not None
    assert ("image" in {buffer.tensor for buffer in program.train.kept}) == kept


def test_parameters_change_with_their_gradient_when_no_segment_is_left() -> None:
    text = "input x: float32[200]\ndense(150) -> batchnorm -> relu\ndense(130) -> relu\ndense(3)"
    program = program_of(text)
    assert program.train is not None
    assert len(program.train.segments) > 1
    # The other large gradient is known before the first one: its weight is still read then.
    assert [call.computes for call in program.ending] == ["dense1.weight_grad"]
    offsets = {slot.name: slot.offset for slot in program.slots}
    assert program.summed <= offsets["dense2.weight"] < program.pieced
    assert program.pieced <= offsets["dense1.weight"] < program.trained


def test_a_small_dense_layer_is_summed_block_by_block() -> None:
    program = program_of("input x: float32[30]\ndense(20) -> relu\ndense(3)")
    assert program.train is not None
    assert not program.train.kept
    assert not program.train.segments[0].finish
    assert program.summed == program.trained
