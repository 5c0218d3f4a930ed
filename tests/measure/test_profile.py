"""The module with a clock: the same results as the ordinary one, and every call of a step counted.

No test depends on how long anything takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.compiled import Compiled
from cnnc.compiler import Options, compile_spec, emit, lower, open_spec
from cnnc.measure import Case, Peak, Profile, bench, profile
from cnnc.measure.samples import random_samples
from cnnc.measure.work import Traffic, forward_flops, node_flops, training_flops

# Batch statistics cut the step into segments and give inference something to prepare.
SEGMENTS = """
model segments {
    input image: uint8[3, 8, 8]
    scale(1/255)
    conv(8, 3x3, pad=1, bias=no) -> batchnorm -> relu
    depthwise(3x3, pad=1) -> batchnorm -> relu
    global_avgpool -> dropout(0.2) -> dense(5)
}
train { loss cross_entropy; optimizer adam(lr=0.01) }
"""

# Two inputs, three outputs, losses of labels and of numbers.
HEADS = """
model heads {
    input image: float32[1, 4, 4]
    input patient: float32[2]
    seen = image -> flatten
    concat(seen, patient) -> dense(8) -> relu
    kind = dense(3)
    stage = dense(2)
    size = dense(1)
    output kind, stage, size
}
train {
    loss      cross_entropy(output=kind)
    loss      cross_entropy(output=stage, weight=0.5)
    loss      mse(output=size, weight=0.1)
    optimizer sgd(lr=0.05, momentum=0.9)
}
"""

UNTRAINED = """
model untrained {
    input image: float32[2, 6, 6]
    conv(4, 3x3, pad=1) -> relu -> maxpool(2x2)
    maxpool(3x3)
}
"""

# A dense layer whose weight gradient is made of all blocks at once.
WIDE = """
model wide {
    input row: float32[600]
    dense(120) -> relu -> dense(3)
}
train { loss cross_entropy; optimizer sgd(lr=0.05) }
"""

SPECS = {"segments": SEGMENTS, "heads": HEADS, "untrained": UNTRAINED, "wide": WIDE}


@pytest.fixture(scope="module")
def peak() -> Iterator[Peak]:
    """With arrays for the memory's bandwidth that take no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cnnc.measure.peak.TRIAD_FLOATS", 2**16)
        yield Peak()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("specs")
    for name, text in SPECS.items():
        (directory / f"{name}.cnn").write_text(text)
    return {name: str(directory / f"{name}.cnn") for name in SPECS}


@pytest.fixture(scope="module")
def timed(written: dict[str, str]) -> dict[str, Compiled]:
    options = Options(profile=True)
    return {name: compile_spec(path, options=options) for name, path in written.items()}


def measured(timed: dict[str, Compiled], peak: Peak, name: str, *, training: bool) -> Profile:
    """A few steps of 48 samples: whole blocks of every target."""
    return profile(timed[name], peak, 48, training=training, seconds=1e-9)


def outputs(net: Any, arrays: tuple[Any, ...]) -> list[Any]:
    found = net(*arrays)
    return list(found) if isinstance(found, tuple) else [found]


@pytest.mark.parametrize("name", SPECS)
def test_the_clock_changes_no_result(
    name: str, written: dict[str, str], timed: dict[str, Compiled]
) -> None:
    nets = [c.load().Model(seed=3) for c in (compile_spec(written[name]), timed[name])]
    plain, clocked = (outputs(net, random_samples(net, 40, training=False)) for net in nets)
    for one, other in zip(plain, clocked, strict=True):
        assert np.array_equal(one, other)
    if nets[0].training is not None:
        arrays = random_samples(nets[0], 40, training=True)
        for _ in range(3):
            assert nets[0].train_step(*arrays) == nets[1].train_step(*arrays)
        for parameter, value in nets[0].parameters.items():
            assert np.array_equal(value, nets[1].parameters[parameter]), parameter


def test_the_ordinary_module_has_no_clock(written: dict[str, str]) -> None:
    source, options = open_spec(written["segments"])
    assert "clock_lap" not in emit(source, "pyx", options)
    assert "clock_lap" in emit(source, "pyx", Options(profile=True))


@pytest.mark.parametrize(
    ("name", "training"),
    [
        ("segments", True),
        ("segments", False),
        ("heads", True),
        ("heads", False),
        ("untrained", False),
    ],
)
def test_every_call_of_a_step_is_counted(
    name: str, training: bool, timed: dict[str, Compiled], peak: Peak
) -> None:
    found = measured(timed, peak, name, training=training)
    program = timed[name].program
    schedule = program.train if training else program.infer
    assert schedule is not None
    blocks = 48 // program.target.lanes
    wanted: Counter[str] = Counter()
    for call in schedule.prepare:
        wanted[call.kernel] += 1
    for segment in schedule.segments:
        for call in segment.calls:
            wanted[call.kernel] += blocks
        for call in segment.finish:
            wanted[call.kernel] += 1
    for result in () if training else program.results:
        wanted[result.kernel] += blocks
    counted: Counter[str] = Counter()
    for lap in found.laps:
        counted[lap.kernel] += int(lap.calls)
    del counted[""]
    assert counted == wanted
    assert {lap.direction for lap in found.laps if not lap.kernel} == (
        {"load", "update", ""} if training else {"load", ""}
    )


@pytest.mark.parametrize(
    ("name", "training"), [("segments", True), ("heads", False), ("wide", True)]
)
def test_operations_are_those_of_the_graph(
    name: str, training: bool, timed: dict[str, Compiled], peak: Peak
) -> None:
    found = measured(timed, peak, name, training=training)
    graph = timed[name].fused
    step = graph.step
    assert step is not None
    flops = training_flops(step) if training else forward_flops(graph)
    assert found.flops == 48 * flops > 0
    assert sum(lap.flops for lap in found.by_kind()) == found.flops


def test_operations_of_a_convolution_in_each_direction(timed: dict[str, Compiled]) -> None:
    step = timed["segments"].fused.step
    assert step is not None
    of = {node.name: node_flops(node, step) for node in step.nodes}
    # 8 filters of 3 channels by 3 x 3, at 8 x 8 places; nothing needs the gradient by the image.
    assert of["conv1"] == of["conv1.weight_grad"] == 2 * 8 * 3 * 9 * 64
    # a filter of one channel for each of 8
    assert of["depthwise1"] == of["depthwise1.weight_grad"] == 2 * 8 * 9 * 64
    assert of["dense1"] == of["dense1.weight_grad"] == 2 * 8 * 5
    assert of["dense1.bias_grad"] == of["image"] == 0


def test_bytes_of_a_call_are_its_operands_once(timed: dict[str, Compiled]) -> None:
    program, graph = timed["untrained"].program, timed["untrained"].fused
    traffic = Traffic.of(program, program.infer, graph, 40)
    conv, pool = program.infer.segments[0].calls
    image, made, weights = 2 * 6 * 6, 4 * 3 * 3, 4 * 2 * 9 + 4
    # weights are read in each of 3 calls, tensors once a sample; what is pooled is never stored
    assert traffic.call(conv, 3) == 4 * (40 * (image + made) + 3 * weights)
    assert traffic.call(pool, 3) == 4 * 40 * (made + 4)
    (load,) = program.infer.loads
    assert traffic.load(load) == 40 * 2 * 4 * image
    assert traffic.store(program.results[0]) == 40 * 2 * 4 * 4


def test_laps_of_a_batchnorm_say_whose_they_are(timed: dict[str, Compiled], peak: Peak) -> None:
    found = measured(timed, peak, "segments", training=True)
    of_first = {lap.direction for lap in found.laps if lap.layer == "batchnorm1"}
    assert {"forward", "statistics", "statistics, sum", "sums", "sums, sum", "slope"} <= of_first
    ops = {lap.op for lap in found.laps}
    assert {"conv 3x3", "conv 3x3 grouped", "batchnorm", "dense", "optimizer"} <= ops


def test_a_step_is_the_sum_of_its_laps(timed: dict[str, Compiled], peak: Peak) -> None:
    module: Any = timed["heads"].load()
    net = module.Model(threads=1)
    arrays = random_samples(net, 40, training=True)
    module.start_laps()
    net.train_step(*arrays)
    first, _ = module.take_laps()
    net.train_step(*arrays)
    both, tick = module.take_laps()
    assert tick > 0
    calls = [i for i, (_, kind, _) in enumerate(module.LAP_PLACES) if kind != "outside"]
    assert [both[i][1] for i in calls] == [2 * first[i][1] for i in calls]
    assert all(ticks >= 0 for ticks, _ in both)
    module.start_laps()
    assert [laps for _, laps in module.take_laps()[0]] == [1] + [0] * (len(both) - 1)


def test_a_model_that_is_not_trained_has_no_training_profile(
    timed: dict[str, Compiled], peak: Peak
) -> None:
    with pytest.raises(ValueError, match="untrained has no train block"):
        measured(timed, peak, "untrained", training=True)
    with pytest.raises(ValueError, match="untrained has no train block"):
        bench(timed["untrained"], peak, [Case(training=True, batch=2)])


def test_bench_measures_every_case(timed: dict[str, Compiled], peak: Peak) -> None:
    cases = [Case(training=False, batch=1), Case(training=False, batch=0), Case(True, 5)]
    told: list[float] = []
    found = bench(timed["heads"], peak, cases, threads=2, seconds=1e-9, on_round=told.append)
    assert [latency.case for latency in found] == cases
    assert told[-1] == 1
    for latency in found:
        assert latency.threads == 2
        assert 0 < latency.low <= latency.seconds <= latency.high
        assert latency.calls > 0
    one, none, five = found
    assert one.samples_per_second == 1 / one.seconds
    assert (none.flops, none.gflops) == (0, 0)
    assert five.flops > 5 * one.flops


def test_a_peak_is_measured(peak: Peak) -> None:
    assert peak.gflops(slices=1) > 0
    assert peak.gigahertz(slices=1) > 0
    assert peak.read_bandwidth(16) > 0
    assert peak.triad_bandwidth() > 0
    assert peak.accumulators in peak.counts
    assert all(count <= peak.target.registers - 2 for count in peak.counts)


def test_specs_of_the_repository_can_be_rendered_with_a_clock(root: Path) -> None:
    for name in ("mobilenet_small", "unet_small", "two_inputs", "conv1d"):
        source, _ = open_spec(root / "specs" / f"{name}.cnn")
        forms = dict(lower(source, Options(profile=True)))
        lines = forms["pyx"].splitlines()
        assert max(map(len, lines)) <= 100, name
        laps = sum("clock_lap(" in line for line in lines)
        assert laps > sum(len(schedule.calls) for schedule in forms["program"].schedules())
