"""What is computed strip by strip, and what is computed again instead of being kept."""

from __future__ import annotations

from cnnc.diagnostics import Source
from cnnc.frontend import parse, resolve
from cnnc.ir.graph import Graph
from cnnc.ir.program import Program, Schedule
from cnnc.ir.target import TARGETS
from cnnc.ir.verify import verify_graph, verify_program
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse
from cnnc.passes.plan import plan
from cnnc.passes.recompute import recompute

SEPARABLE = """
input x: float32[3, 48, 40]
conv(32, 3x3, pad=1, bias=no) -> batchnorm -> relu
depthwise(3x3, pad=1, bias=no) -> batchnorm -> relu
conv(32, 1x1, bias=no) -> batchnorm -> relu
global_avgpool
"""

IN_CHUNKS = """
input x: float32[256, 16, 16]
conv(64, 1x1, bias=no) -> batchnorm -> relu
global_avgpool
"""


def graph_of(body: str) -> Graph:
    text = f"model net {{\n{body}\n}}\ntrain {{\n loss mse\n optimizer sgd(lr=0.1)\n}}\n"
    return fuse(differentiate(resolve(parse(Source("net.cnn", text)))))


def program_of(body: str, target: str = "x86-64-v4") -> Program:
    graph = verify_graph(recompute(graph_of(body)))
    return verify_program(plan(graph, TARGETS[target]))


def step_of(body: str) -> Schedule:
    train = program_of(body).train
    assert train is not None
    return train


def turns_by_result(schedule: Schedule) -> dict[str, str]:
    return {call.computes: call.turns.by for call in schedule.calls if call.turns}


def test_depthwise_goes_by_channels_and_pointwise_by_rows_with_all_around_them() -> None:
    turns = turns_by_result(step_of(SEPARABLE))
    for name in ("batchnorm1", "depthwise1", "depthwise1_grad"):
        assert turns[name] == "channels", name
    for name in ("batchnorm2", "conv2", "conv2_grad"):
        assert turns[name] == "rows", name
    assert "conv1" not in turns


def test_what_only_a_strip_needs_has_memory_for_a_strip() -> None:
    buffers = {b.tensor: b.layout for b in step_of(SEPARABLE).buffers}
    assert buffers["batchnorm1"].channels < 32
    assert buffers["batchnorm2"].extents[0] < 48


def test_planes_that_rows_are_read_of_do_not_lie_whole_pages_apart() -> None:
    kept = {buffer.tensor: buffer.layout for buffer in step_of(SEPARABLE).kept}
    assert 48 * 40 * 64 % 4096 == 0
    for name in ("depthwise1", "conv2"):
        assert kept[name].gap == 40
        assert kept[name].strides() == (49 * 40, 40, 1)
        assert kept[name].size == 32 * 49 * 40
        assert not kept[name].dense
        assert not kept[name].haloed
    odd = {buffer.tensor: buffer.layout for buffer in step_of(SEPARABLE.replace("40]", "41]")).kept}
    assert odd["conv2"].dense


def test_rows_of_a_strip_cover_the_tensor_and_their_gradients_add_up() -> None:
    for call in step_of(SEPARABLE).calls:
        if call.turns is None or call.turns.by != "rows":
            continue
        steps = {o.step for o in call.operands if o.space == "kept" and o.name != "live"}
        assert steps <= {48 // call.turns.count * 40}
        assert call.adds == call.computes.endswith("weight_grad")


def test_a_normalised_activation_is_not_kept_between_the_directions() -> None:
    kept = {buffer.tensor for buffer in step_of(SEPARABLE).kept}
    assert {"conv1", "depthwise1", "conv2"} <= kept
    assert not {"batchnorm1", "batchnorm2", "batchnorm3"} & kept


def test_what_follows_from_nothing_that_is_kept_is_kept_itself() -> None:
    body = "input x: float32[3, 8, 8]\nconv(4, 3x3) -> sigmoid\nconv(4, 3x3) -> batchnorm -> relu"
    step = recompute(graph_of(body)).step
    assert step is not None
    assert not any(node.late and node.layer == "conv1" for node in step.nodes)


def test_without_statistics_of_a_batch_nothing_is_cut_or_repeated() -> None:
    body = "input x: float32[32, 64, 64]\nconv(32, 1x1) -> relu\nconv(32, 1x1) -> relu"
    graph = graph_of(body)
    assert recompute(graph) == graph
    assert not any(call.turns for s in program_of(body).schedules() for call in s.calls)


def test_a_large_convolution_in_chunks_is_stored_in_cache_and_kept_by_the_sum_that_reads_it() -> (
    None
):
    step = step_of(IN_CHUNKS)
    calls = {call.computes: call for call in step.calls}
    made = calls["conv1"].operands[-1]
    assert (made.space, made.name) == ("work", "conv1")
    summed = next(c for c in step.segments[0].calls if "statistics" in c.computes)
    spaces = {o.pointer: (o.space, o.name) for o in summed.operands}
    assert spaces["input"] == ("work", "conv1")
    assert spaces["moved"] == ("kept", "conv1")


def test_what_stores_a_large_one_in_one_go_adds_up_its_statistics_with_no_pass_in_between() -> None:
    program = program_of(SEPARABLE)
    step = program.train
    assert step is not None
    calls = {call.computes: call for segment in step.segments for call in segment.calls}
    reasons = {kernel.name: kernel.form.reason() for kernel in program.kernels}
    for made, summed in (("conv1", 1), ("depthwise1", 2), ("conv2", 3)):
        assert f"batchnorm{summed}_statistics" not in calls
        spaces = {o.pointer: (o.space, o.name) for o in calls[made].operands}
        assert spaces["result"] == ("kept", made)
        assert spaces["tally"] == ("parts", f"batchnorm{summed}_statistics")
        assert "adds up a batch norm's statistics" in reasons[calls[made].kernel]
    assert not any("statistics" in name for name in reasons if not name.endswith("_finish"))
    assert not any("on its way" in b.tensor for b in step.buffers if b.tensor[:5] == "conv1")


def test_registers_that_are_parts_of_a_cache_line_leave_the_sums_to_passes() -> None:
    program = program_of(SEPARABLE, "x86-64-v3")
    assert not any("adds up" in kernel.form.reason() for kernel in program.kernels)
    step = program.train
    assert step is not None
    assert {"batchnorm1_statistics", "batchnorm2_sums"} <= {call.computes for call in step.calls}


def test_a_small_one_is_stored_where_it_is_kept() -> None:
    step = step_of(SEPARABLE.replace("48, 40", "8, 8"))
    assert not any(o.pointer == "moved" for call in step.calls for o in call.operands)
