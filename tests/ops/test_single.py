"""Kernels of one sample, lanes along the channels, against the references.

Each network holds several layers side by side; one sample to as many as go through them one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import inf
from typing import Any

import numpy as np
import pytest

from cnnc.codegen.build import build, load_extension
from cnnc.codegen.render import render, render_stub
from cnnc.compiler import lower
from cnnc.diagnostics import Source
from cnnc.ir.graph import Graph, Node, Output, Parameter
from cnnc.ir.interpret import interpret
from cnnc.ir.program import Program
from cnnc.ir.target import TARGETS
from cnnc.ir.verify import verify_graph, verify_program
from cnnc.ops import OPS
from cnnc.ops.op import Example, Input
from cnnc.ops.toom_cook import Filtering
from cnnc.ops.winograd import F2, F4, whole
from cnnc.passes.choice import Asked, Chosen, prefer
from cnnc.passes.fuse import fuse
from cnnc.passes.plan import plan
from cnnc.passes.single import NotSingleError, one_sample
from tests.flags import optimized
from tests.ops.examples import LAYERS
from tests.ops.test_kernels import targets_by_lanes

NETWORKS = {
    "convolutions": """
        input a: float32[1, 9, 7]
        input b: float32[3, 8, 11]
        input c: float32[17, 7, 5]
        input d: float32[40, 6, 6]
        p = a -> conv(17, 3x3, pad=1) -> relu
        q = a -> conv(3, 5x4, stride=2x3, pad=2)
        r = b -> conv(33, 3x3, stride=2, pad=same, bias=no)
        s = b -> conv(5, 2x2, stride=3)
        t = c -> conv(19, 3x3, pad=1, dilation=2) -> leaky_relu(0.1)
        u = c -> conv(1, 1x1)
        v = d -> conv(35, 3x3, pad=1) -> prelu
        w = d -> conv(70, 1x1, stride=2)
        output p, q, r, s, t, u, v, w
    """,
    "other ranks": """
        input la: float32[1, 37]
        input lb: float32[17, 21]
        input lc: float32[2, 5, 4, 6]
        lp = la -> conv(16, 9, pad=same) -> relu -> maxpool(2)
        lq = lb -> conv(20, 4, stride=3, pad=(2, 1))
        lr = lb -> depthwise(5, pad=2) -> global_avgpool
        ls = lc -> conv(18, 3x2x3, stride=1x2x1, pad=1) -> maxpool(2)
        output lp, lq, lr, ls
    """,
    "depthwise and transposed": """
        input ta: float32[17, 8, 9]
        input tb: float32[32, 5, 4]
        tp = ta -> depthwise(3x3, pad=1) -> batchnorm -> relu6
        tq = ta -> depthwise(5x5, stride=2, pad=same, bias=no) -> conv(16, 1x1)
        tr = ta -> conv_transpose(20, 2x2, stride=2)
        ts = tb -> conv_transpose(3, 3x3, stride=2, pad=1, output_pad=1)
        tt = tb -> conv_transpose(16, 3x3, pad=1, bias=no) -> relu
        output tp, tq, tr, ts, tt
    """,
    "rows": """
        input da: float32[2, 5, 7]
        input db: float32[30]
        input dc: uint8[3, 5, 6]
        input dd: uint8[3, 5, 6]
        dp = da -> flatten -> dense(33) -> relu -> dense(16, bias=no)
        dq = db -> dense(7) -> prelu
        dr = db -> reshape([3, 2, 5]) -> conv(4, 2x2)
        ds = dc -> normalize([100, 120, 90], [50, 60, 70]) -> conv(17, 3x3, pad=1) -> relu
        dt = dd -> scale(1/255) -> maxpool(2x2)
        du = da -> conv(20, 3x3) -> flatten -> dense(3)
        output dp, dq, dr, ds, dt, du
    """,
    "joins": """
        input ja: float32[20, 6, 8]
        input jb: float32[32, 6, 8]
        jx = jb -> conv(20, 1x1) -> batchnorm
        jp = add(ja, jx) -> relu
        jq = concat(jb, ja) -> conv(5, 3x3, pad=1)
        gate = ja -> global_avgpool(keep=yes) -> conv(20, 1x1) -> sigmoid
        jr = mul(ja, gate) -> avgpool(3x3, stride=2, pad=1)
        js = sub(ja, jx) -> upsample(2) -> crop(1) -> zero_pad(2)
        jt = jb -> upsample(2, mode=linear) -> global_maxpool -> gelu
        output jp, jq, jr, js, jt
    """,
    "winograd": """
        input wa: float32[1, 4, 4]
        input wb: float32[3, 5, 7]
        input wc: float32[17, 1, 9]
        input wd: float32[33, 1, 1]
        input we: float32[40, 3, 2]
        input wf: float32[16, 37, 41]
        wp = wa -> conv(1, 3x3, pad=1)
        wq = wb -> conv(17, 3x3) -> relu -> maxpool(2)
        wr = wb -> conv(5, 3x3, pad=2) -> prelu
        ws = wc -> conv(40, 3x3, pad=1, bias=no) -> batchnorm -> gelu
        wt = wd -> conv(33, 3x3, pad=1)
        wu = wd -> conv(5, 3x3, pad=2)
        wv = we -> conv(40, 3x3, pad=1) -> conv(17, 3x3, pad=[(0, 2), (2, 1)])
        ww = wf -> conv(16, 3x3, pad=1) -> conv(3, 3x3)
        output wp, wq, wr, ws, wt, wu, wv, ww
    """,
    "columns": """
        input ca: uint8[1, 28, 28]
        input cb: float32[3, 9, 75]
        input cc: float32[2, 101]
        input cd: float32[1, 4, 5, 19]
        input ce: float32[4, 6, 3]
        cp = ca -> scale(1/255) -> conv(6, 5x5, pad=2) -> relu -> maxpool(2x2) -> conv(16, 5x5)
              -> relu -> maxpool(2x2) -> flatten -> dense(9)
        cq = cb -> conv(5, 3x4, stride=2x1, pad=1, dilation=1x3) -> batchnorm -> prelu
        cr = cq -> maxpool(2x3, stride=1x2) -> conv(3, 2x2)
        cs = cb -> conv(2, 2x9, pad=(0, 4), bias=no) -> avgpool(3x2, stride=2x1) -> relu -> flatten
        ct = cc -> conv(3, 6, pad=4) -> tanh -> avgpool(3, stride=2)
        cu = cc -> conv(1, 3) -> maxpool(2, stride=3) -> reshape([3, 11])
        cv = cd -> conv(3, 2x3x4, pad=1) -> maxpool(2) -> conv(17, 1x2x3)
        side = ce -> conv(4, 3x3, pad=1)
        other = ce -> conv(4, 1x1)
        cw = add(other, side) -> relu
        cx = side -> depthwise(3x3, pad=1) -> maxpool(3x3, stride=2, pad=1)
        cy = side -> maxpool(2x2) -> conv(33, 3x1, pad=1)
        output cp, cq, cr, cs, ct, cu, cv, cw, cx, cy
    """,
    "long windows": """
        input xa: float32[17, 38]
        input xb: float32[16, 300]
        input xc: float32[6, 13]
        xp = xa -> conv(1, 1) -> conv(17, 9, pad=same) -> relu -> conv(3, 4, pad=(2, 1))
        xq = xa -> conv(33, 3, pad=1, bias=no) -> batchnorm -> gelu
        xr = xa -> conv(5, 23, pad=(0, 9)) -> prelu
        xs = xb -> conv(32, 9, pad=same) -> maxpool(2) -> conv(20, 15, pad=7)
        xt = xc -> conv(3, 5) -> conv(16, 7, pad=(8, 2)) -> relu6
        xu = xc -> conv(40, 6, pad=2)
        output xp, xq, xr, xs, xt, xu
    """,
    "wide windows": """
        input ya: float32[6, 14, 14]
        input yb: float32[17, 11, 40]
        input yc: float32[33, 1, 3]
        yp = ya -> conv(16, 5x5) -> relu -> maxpool(2)
        yq = ya -> conv(3, 1x1) -> conv(5, 7x7, pad=same, bias=no)
        yr = yb -> conv(33, 2x9, pad=[(0, 1), (3, 5)]) -> leaky_relu(0.1)
        ys = yb -> conv(18, 5x3, pad=[2, 0]) -> conv(1, 3x6, pad=[(2, 0), 1])
        yt = yc -> conv(17, 5x5, pad=2)
        yu = yc -> conv(4, 1x4, pad=[0, 2])
        output yp, yq, yr, ys, yt, yu
    """,
    "groups": """
        input ga: float32[6, 7, 9]
        input gb: float32[64, 5, 6]
        input gc: float32[40, 4, 5]
        input gd: float32[12, 11]
        gp = ga -> conv(4, 3x3, pad=1, groups=2) -> relu
        gq = ga -> conv(18, 3x2, stride=2x1, pad=1, groups=6, bias=no)
        gr = gb -> conv(32, 3x3, pad=1, dilation=2, groups=2) -> prelu
        gs = gb -> conv(64, 3x3, stride=2, pad=1, groups=16)
        gt = gb -> conv(128, 1x1, groups=64)
        gu = gb -> conv(64, 1x1, groups=32) -> batchnorm
        gv = gc -> conv(60, 3x3, pad=1, groups=5)
        gw = gc -> conv_transpose(40, 3x3, stride=2, pad=1, groups=40)
        gx = gb -> conv_transpose(32, 2x2, stride=2, groups=2, bias=no) -> relu
        gy = gc -> conv_transpose(20, 3x3, stride=2, dilation=2, pad=1, groups=5)
        gz = gd -> conv(8, 5, pad=2, groups=4) -> conv(2, 3, stride=2, groups=2)
        g0 = gb -> conv_transpose(64, 3x2, groups=16)
        g1 = gb -> conv(96, 3x3, pad=1, groups=2) -> relu
        output gp, gq, gr, gs, gt, gu, gv, gw, gx, gy, gz, g0, g1
    """,
    "norms": """
        input na: float32[6, 5, 7]
        input nb: float32[40, 3, 4]
        input nc: float32[24, 19]
        input nd: float32[21]
        np = na -> groupnorm(2) -> relu
        nq = na -> layernorm -> conv(3, 3x3, pad=1)
        nr = nb -> conv(32, 1x1) -> groupnorm(2, affine=no) -> conv(5, 3x3, pad=1)
        ns = nb -> softmax
        nt = nb -> layernorm(affine=no) -> log_softmax
        nu = nc -> groupnorm(24) -> log_softmax
        nv = nc -> groupnorm(1) -> softmax -> relu6
        nw = nd -> layernorm -> dense(17) -> softmax
        nx = nd -> dense(5) -> groupnorm(5, eps=0.1) -> log_softmax
        ny = nc -> relu -> normalize(0.5, 2)
        nz = nd -> dense(3) -> normalize([1, 2, 3], [2, 1, 0.5])
        output np, nq, nr, ns, nt, nu, nv, nw, nx, ny, nz
    """,
    "parts of registers": """
        input pa: float32[5, 3, 4]
        input pb: float32[17, 3, 4]
        input pc: float32[40, 3, 4]
        input pd: float32[23]
        input pe: float32[1, 3, 4]
        pp = concat(pa, pb, pc) -> conv(3, 3x3, pad=1)
        pq = concat(pc, pa, pe, pe, pa) -> batchnorm -> relu
        pr = pc -> slice(3, 4)
        ps = pc -> slice(7, 39) -> prelu
        pt, pu = pd -> split([5, 18])
        pv = concat(pu, pt) -> dense(9)
        pw = mul(pb, pe) -> conv(2, 1x1)
        px = pa -> conv(1, 1x1) -> sigmoid
        py = sub(pa, px) -> relu
        pz = pt -> slice(1, 3)
        output pp, pq, pr, ps, pt, pu, pv, pw, py, pz
    """,
}
MODULES = {
    "usual": ("convolutions", "rows", "winograd"),
    "others": ("other ranks", "depthwise and transposed", "joins"),
    "winograd": ("winograd",),
    "columns": ("columns",),
    "along rows": ("long windows", "wide windows"),
    "across lanes": ("groups", "norms", "parts of registers"),
}
"""What is compiled together, since what a module costs besides its kernels is much."""
SAMPLES = [0, 1, 2, 3, 17, 18]


THREADS = (2, 5)


def _text(networks: Sequence[str]) -> str:
    """One model of these networks, which have no name in common."""
    lines = [line.strip() for name in networks for line in NETWORKS[name].split("\n")]
    outputs = [line.removeprefix("output ") for line in lines if line.startswith("output ")]
    body = [line for line in lines if not line.startswith("output ")]
    return "\n".join(["model side {", *body, f"output {', '.join(outputs)}", "}", ""])


def in_planes(asked: Asked) -> Chosen:
    """What keeps results in planes: columns, or the direct sum, which reads them."""
    forms = {form.ALGORITHM: form for form in reversed(asked.forms)}
    return Chosen(forms.get("columns") or forms.get("direct") or asked.forms[0])


def _forms(module: str, target: str, algorithm: str) -> tuple[Graph, Program]:
    forms = dict(lower(Source("side.cnn", _text(MODULES[module]))))
    graph: Graph = forms["graph"]
    # Threads share every call, however small, of the best target's; of the others' none.
    least = 0 if target == targets_by_lanes()[0] else inf
    choose = in_planes if algorithm == "columns" else prefer(algorithm)
    program = plan(fuse(forms["grad"]), TARGETS[target], choose, divided_from=least)
    return graph, verify_program(program)


@cache
def _module(module: str, target: str, algorithm: str) -> tuple[Graph, Program, Any]:
    graph, program = _forms(module, target, algorithm)
    text, stub = render(program, "side.cnn", {}), render_stub(program, "side.cnn")
    with optimized(target):
        built = build("side", text, stub, TARGETS[target])
    return graph, program, load_extension("side", built.loadable)


def _cases() -> list[Any]:
    first, *others = targets_by_lanes()
    found = [("usual", target, "direct") for target in (first, *others)]
    found += [("winograd", target, "winograd") for target in (first, *others)]
    found += [("winograd", target, "winograd4") for target in (first, others[0])]
    found += [("columns", target, "columns") for target in (first, *others)]
    found += [("along rows", target, "winograd1d") for target in (first, *others)]
    found += [("across lanes", target, "direct") for target in (first, *others)]
    return [
        pytest.param(module, target, algorithm, id=f"<{module} {target} {algorithm}>")
        for module, target, algorithm in [*found, ("others", first, "direct")]
    ]


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize(("module", "target", "algorithm"), _cases())
def test_single_samples_equal_the_reference(
    module: str, target: str, algorithm: str, samples: int
) -> None:
    graph, program, extension = _module(module, target, algorithm)
    assert program.single is not None, program.blocks_only
    net = extension.Model(seed=1, threads=1)
    rng = np.random.default_rng(samples)
    for name, view in net.parameters.items():
        running = name.endswith("running_var")
        view[...] = rng.uniform(0.5, 1.5, view.shape) if running else rng.normal(0, 0.3, view.shape)
    feeds: dict[str, Any] = {}
    for node in graph.inputs():
        shape = (samples, *node.shape)
        whole = node.op.dtype == "uint8"  # type: ignore[union-attr]
        feeds[node.name] = (
            rng.integers(0, 256, shape).astype(np.uint8)
            if whole
            else rng.normal(0, 1, shape).astype(np.float32)
        )
    found = net(*feeds.values())
    double = {name: value.astype(np.float64) for name, value in net.parameters.items()}
    wanted = interpret(graph, {k: v.astype(np.float64) for k, v in feeds.items()}, double)
    for output, value in zip(graph.outputs, found, strict=True):
        right = wanted[output.tensor]
        assert value.shape == right.shape
        scale = max(1.0, np.abs(right).max(initial=0.0))
        np.testing.assert_allclose(value, right, rtol=0, atol=4e-6 * scale, err_msg=output.name)
    for threads in THREADS:
        net.threads = threads
        for value, one in zip(net(*feeds.values()), found, strict=True):
            np.testing.assert_array_equal(value, one, err_msg=f"{threads} threads")


def test_threads_share_the_layers_of_a_sample_that_take_long() -> None:
    text = """model m {
        input a: float32[32, 32, 32]
        large = a -> conv(64, 3x3, pad=1)
        small = a -> maxpool(8x8) -> conv(1, 1x1)
        both = concat(a, large) -> avgpool(2x2)
        back = small -> upsample(8)
        other = concat(a, back) -> softmax
        odd = large -> slice(3, 35)
        gated = mul(a, odd)
        output large, small, both, other, gated
    }"""
    program = dict(lower(Source("m.cnn", text)))["program"]
    units = {call.computes: call.units for call in program.single.schedule.calls}
    for name in ("conv1", "concat1", "avgpool1", "concat2", "softmax1", "slice1", "mul1"):
        assert units[name] >= 8, name
    assert units["conv2"] == units["upsample1"] == 1


@pytest.mark.parametrize("network", NETWORKS)
def test_the_lowered_graph_is_well_made(network: str) -> None:
    fused = dict(lower(Source("side.cnn", _text([network]))))["fused"]
    lowered = one_sample(fused, TARGETS["x86-64-v4"])
    verify_graph(lowered.graph)


def _alone(stem: str, example: Example) -> Graph:
    """A network of one layer."""
    op, inputs = example.op, example.inputs
    arrays = tuple(Node(f"x{i}", Input(s, "float32"), (), (), s) for i, s in enumerate(inputs))
    parameters = tuple(
        Parameter(f"{stem}.{p.name}", p.shape, p.initializer, p.fan_in, p.fan_out, p.trained)
        for p in op.parameters(inputs)
    )
    names = tuple(p.name for p in parameters)
    node = Node(stem, op, tuple(x.name for x in arrays), names, op.output_shape(inputs))
    return Graph("alone", (*arrays, node), parameters, (Output(stem, stem),))


@pytest.mark.parametrize("target", ["x86-64-v4", "x86-64-v3", "x86-64"])
def test_every_layer_of_the_language_has_a_form(target: str) -> None:
    of_language = [(stem, example) for stem, example in LAYERS if example.op.NAME in OPS]
    assert len({example.op.NAME for _, example in of_language}) > 30
    for stem, example in of_language:
        verify_graph(one_sample(fuse(_alone(stem, example)), TARGETS[target]).graph)


def test_what_has_no_form_leaves_the_network_to_blocks_and_says_so() -> None:
    # A layer of a training step, whose random bits are one number a sample.
    example = next(example for stem, example in LAYERS if stem == "dropout_mask_1")
    graph = _alone("mask", example)
    with pytest.raises(NotSingleError, match="x1 is one number a sample"):
        one_sample(graph, TARGETS["x86-64-v4"])
    program = plan(graph, TARGETS["x86-64-v4"])
    assert program.single is None
    assert "x1" in program.blocks_only


def test_what_is_no_number_stays_in_its_group_and_its_position() -> None:
    graph, _, extension = _module("across lanes", targets_by_lanes()[0], "direct")
    net = extension.Model(seed=1, threads=1)
    rng = np.random.default_rng(0)
    feeds = {
        node.name: rng.normal(0, 1, (1, *node.shape)).astype(np.float32) for node in graph.inputs()
    }
    feeds["gb"][0, 5, 2, 3] = np.inf
    feeds["gc"][0, 0, 1, 1] = np.nan
    feeds["nb"][0, 17, 1, 2] = np.nan
    names = [output.name for output in graph.outputs]
    found = dict(zip(names, net(*feeds.values()), strict=True))
    # name: channels of a group of results, and the group that has it all
    for name, (channels, group) in {
        "gr": (16, 0), "gs": (4, 1), "gt": (2, 5), "gv": (12, 0), "gw": (1, 0), "gy": (4, 0),
        "g0": (4, 1), "g1": (48, 0),
    }.items():  # fmt: skip
        value = found[name][0]
        inside = np.zeros(len(value), bool)
        inside[group * channels : (group + 1) * channels] = True
        assert not np.isfinite(value[inside]).all(), name
        assert np.isfinite(value[~inside]).all(), name
    softmax = np.isnan(found["ns"][0])
    assert softmax[:, 1, 2].all()
    assert softmax.sum() == len(softmax)
    assert np.isnan(found["nt"]).all()


@pytest.mark.parametrize(
    ("which", "algorithm"),
    [
        ("usual", "direct"),
        ("winograd", "winograd"),
        ("winograd", "winograd4"),
        ("columns", "columns"),
        ("along rows", "winograd1d"),
    ],
)
def test_what_is_packed_follows_every_change_of_a_parameter(which: str, algorithm: str) -> None:
    _, _, module = _module(which, targets_by_lanes()[0], algorithm)
    net, fresh = module.Model(seed=1, threads=1), module.Model(seed=2, threads=1)
    rng = np.random.default_rng(0)
    arrays = [
        rng.normal(0, 1, (1, *s)).astype(np.float32) for s in module.Model.input_shapes.values()
    ]
    before = net(*arrays)[0]
    held = net.parameters["conv1.weight"]
    first = net(*arrays)[0]
    np.testing.assert_array_equal(first, before)
    # Written through a view that was taken before the last call.
    held[...] *= 2
    assert np.abs(net(*arrays)[0] - first).max() > 0
    held[...] /= 2
    np.testing.assert_array_equal(net(*arrays)[0], first)
    part = held[0, 0]
    del held
    part[...] = 5
    assert np.abs(net(*arrays)[0] - first).max() > 0
    del part
    # And through one that is gone again.
    for name, view in fresh.parameters.items():
        net.parameters[name][...] = view
    del view
    for one, other in zip(net(*arrays), fresh(*arrays), strict=True):
        np.testing.assert_array_equal(one, other)


def test_many_channels_are_winograd_s_and_few_are_direct() -> None:
    text = """model m {
        input a: float32[32, 16, 16]
        input b: float32[64, 8, 8]
        wide = a -> conv(32, 3x3, pad=1)
        deep = b -> conv(64, 3x3, pad=1)
        other = a -> conv(32, 3x3, pad=1, stride=2)
        few = a -> conv(1, 1x1) -> conv(1, 3x3, pad=1)
        output wide, deep, other, few
    }"""
    program = dict(lower(Source("m.cnn", text)))["program"]
    kernels = {kernel.name: kernel.form for kernel in program.kernels}
    found = [kernels[f"conv{number}_forward_single"].ALGORITHM for number in range(1, 6)]
    assert found == ["winograd4", "winograd", "direct", "direct", "direct"]
    assert "Winograd" in kernels["conv1_forward_single"].reason()


def _single_forms(text: str, target: str = "x86-64-v4") -> dict[str, Any]:
    """The form of each call of a single sample, by what it computes."""
    fused = dict(lower(Source("m.cnn", text)))["fused"]
    program = plan(fused, TARGETS[target])
    assert program.single is not None
    by_name = {kernel.name: kernel.form for kernel in program.kernels}
    return {call.computes: by_name[call.kernel] for call in program.single.schedule.calls}


@pytest.mark.parametrize("target", ["x86-64-v4", "x86-64-v3", "x86-64"])
def test_few_filters_of_an_image_have_lanes_along_the_columns(target: str) -> None:
    lanes = TARGETS[target].lanes
    text = f"""model m {{
        input a: float32[3, 24, 33]
        few = a -> conv({lanes // 4}, 5x5, pad=2) -> relu
        many = a -> conv({lanes}, 5x5, pad=2)
        strided = a -> conv({lanes // 4}, 5x5, stride=2)
        deep = a -> conv({lanes}, 1x1) -> conv(1, 5x5)
        output few, many, strided, deep
    }}"""
    forms = _single_forms(text, target)
    found = [forms[name].ALGORITHM == "columns" for name in ("conv1", "conv2", "conv3", "conv5")]
    assert found == [True, False, False, False]
    assert "lanes along the columns" in forms["conv1"].reason()


def test_planes_stay_planes_for_what_reads_them_so() -> None:
    def calls(last: str) -> list[str]:
        chain = f"conv(4, 5x5, pad=2) -> relu -> maxpool(2x2) -> {last}"
        return list(_single_forms(f"model m {{\n input a: float32[1, 28, 28]\n {chain}\n}}"))

    assert calls("flatten") == ["conv1", "maxpool1"]
    assert not [name for name in calls("conv(16, 2x2)") if "lanes" in name]
    # Zeros around them are for channels in lanes.
    assert "maxpool1_lanes" in calls("conv(16, 2x2, pad=1)")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_planes_keep_nan_and_infinity_where_they_belong(value: float) -> None:
    graph, _, extension = _module("columns", targets_by_lanes()[0], "columns")
    net = extension.Model(seed=1, threads=1)
    rng = np.random.default_rng(0)
    for name, view in net.parameters.items():
        running = name.endswith("running_var")
        view[...] = rng.uniform(0.5, 1.5, view.shape) if running else rng.normal(0, 0.3, view.shape)
    feeds = {n.name: rng.normal(0, 1, (1, *n.shape)).astype(np.float32) for n in graph.inputs()}
    for name in ("cb", "cc", "cd", "ce"):
        feeds[name].flat[feeds[name].size * 2 // 3] = value
    with np.errstate(all="ignore"):
        wanted = interpret(graph, feeds, dict(net.parameters))
    for output, found in zip(graph.outputs, net(*feeds.values()), strict=True):
        right = wanted[output.tensor]
        np.testing.assert_array_equal(np.isnan(found), np.isnan(right), err_msg=output.name)
        np.testing.assert_array_equal(np.isposinf(found), np.isposinf(right), err_msg=output.name)


def _largest_error(transforms: Filtering, channels: int) -> tuple[float, float]:
    """Of a tile by the transforms and by the direct sum, both in float32."""
    rng = np.random.default_rng(0)
    n, m = transforms.points, transforms.outputs
    found = []
    for _ in range(50):
        x = rng.normal(0, 1, (channels, n, n)).astype(np.float32)
        w = rng.normal(0, 1 / np.sqrt(9 * channels), (channels, 3, 3)).astype(np.float32)
        values, weights, result = (
            np.array(matrix, np.float32)
            for matrix in (whole(transforms.values), transforms.weights, whole(transforms.result))
        )
        products = (weights @ w @ weights.T) * (values @ x @ values.T)
        tile = result @ np.add.accumulate(products)[-1] @ result.T
        taps = [(x[:, i : i + m, j : j + m], w[:, i, j]) for i in range(3) for j in range(3)]
        direct = np.stack([a * b[:, None, None] for a, b in taps], 1).reshape(-1, m, m)
        exact = sum((a.astype(float) * b.astype(float)[:, None, None]).sum(0) for a, b in taps)
        found.append([np.abs(y - exact).max() for y in (tile, np.add.accumulate(direct)[-1])])
    mine, other = np.mean(found, 0)
    return float(mine), float(other)


@pytest.mark.parametrize(("transforms", "times"), [(F2, 1.0), (F4, 3.0)])
@pytest.mark.parametrize("channels", [16, 128])
def test_winograd_rounds_little_more_than_the_direct_sum(
    transforms: Filtering, times: float, channels: int
) -> None:
    mine, direct = _largest_error(transforms, channels)
    assert 0 < mine < times * direct
