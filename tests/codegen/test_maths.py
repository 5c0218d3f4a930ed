"""The vectorised elementary functions of generated code, swept over the floats, against float64.

The C text is taken from the template that every module includes and is compiled as modules are.
"""

from __future__ import annotations

import ctypes
import math
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cnnc.codegen.lanes import lanes_header
from cnnc.codegen.templates import template
from cnnc.codegen.toolchain import find_compiler
from cnnc.ir.target import TARGETS
from tests.ops.test_kernels import runnable_targets

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

MIN_NORMAL = 2.0**-126
LARGEST = 3.4028234663852886e38
OVERFLOW = 2.0**128 - 2.0**103
"""From here on a number rounds to infinity."""


def _erf(x: Doubles) -> Doubles:
    return np.array([math.erf(value) for value in x.tolist()])


def _sigmoid(x: Doubles) -> Doubles:
    return np.where(x > 0, 1 / (1 + np.exp(-abs(x))), np.exp(-abs(x)) / (1 + np.exp(-abs(x))))


def _softplus(x: Doubles) -> Doubles:
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


FUNCTIONS: dict[str, tuple[Callable[[Doubles], Doubles], float, tuple[float, float]]] = {
    "vexp": (np.exp, 1.5, (-math.inf, math.inf)),
    "vexpm1": (np.expm1, 2.5, (-87, 87.5)),
    "vlog": (np.log, 1.5, (-math.inf, math.inf)),
    "vlog1p": (np.log1p, 2.5, (0, math.inf)),
    "vsqrt": (np.sqrt, 0.5, (-math.inf, math.inf)),
    "vtanh": (np.tanh, 3, (-math.inf, math.inf)),
    "verf": (_erf, 3, (-math.inf, math.inf)),
    "vsigmoid": (_sigmoid, 2.5, (-math.inf, math.inf)),
    "vsoftplus": (_softplus, 3, (-math.inf, math.inf)),
}
"""Reference, ulps allowed, and the range for which the function is made."""

INTERESTING = {
    "vexp": (-104.0, 89.0),
    "vtanh": (-10.0, 10.0),
    "verf": (-4.0, 4.0),
    "vsigmoid": (-90.0, 20.0),
    "vsoftplus": (-90.0, 30.0),
    "vlog": (0.5, 2.0),
    "vexpm1": (-87.0, 87.5),
    "vlog1p": (0.0, 3.0),
}


@cache
def _swept() -> Floats:
    """Every sign and exponent with 2,500 mantissas each, and what is special."""
    rng = np.random.default_rng(5)
    patterns = np.arange(512, dtype=np.uint32)[:, None] << np.uint32(23)
    mantissas = rng.integers(0, 1 << 23, (512, 2500), dtype=np.uint32)
    mantissas[:, :2] = 0, (1 << 23) - 1
    return (patterns | mantissas).reshape(-1).view(np.float32)


def _arguments(name: str) -> Floats:
    low, high = FUNCTIONS[name][2]
    parts = [_swept()]
    if name in INTERESTING:
        a, b = INTERESTING[name]
        parts.append(np.linspace(a, b, 700_000, dtype=np.float32))
    x = np.concatenate(parts)
    return x[(x >= low) & (x <= high) | np.isnan(x)]


@cache
def _library(target: str) -> ctypes.CDLL:
    text = template("lanes.pyx.j2").render(lanes=lanes_header(TARGETS[target]))
    lines = [text.split('"""')[1]]
    lines += [
        f"""
        __attribute__((visibility("default")))
        void sweep_{name}(const float *x, float *y, long n, int flush) {{
            unsigned long mode = flush ? flush_denormals() : 0;
            for (long i = 0; i < n; i += LANES) vstore(y + i, {name}(vload(x + i)));
            if (flush) restore_mode(mode);
        }}"""
        for name in FUNCTIONS
    ]
    folder = Path(tempfile.mkdtemp(prefix="cnnc-maths-"))
    (folder / "maths.c").write_text("\n".join(lines))
    compiler = find_compiler()
    files = (str(folder / "maths.c"), "-o", str(folder / "maths.so"), "-lm")
    flags = (*compiler.flags(TARGETS[target]), *compiler.link_flags())
    subprocess.run([*compiler.command, *flags, *files], check=True)
    return ctypes.CDLL(str(folder / "maths.so"))


def _apply(target: str, name: str, x: Floats, *, flush: bool = True) -> Floats:
    """The function's values; in the mode of a step, which flushes denormals, or in Python's."""
    padded = np.resize(x, -(-len(x) // 16) * 16)
    y = np.empty_like(padded)
    pointer = ctypes.POINTER(ctypes.c_float)
    sweep = getattr(_library(target), f"sweep_{name}")
    arrays = (array.ctypes.data_as(pointer) for array in (padded, y))
    sweep(*arrays, ctypes.c_long(len(padded)), ctypes.c_int(flush))
    return y[: len(x)]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("target", runnable_targets())
def test_within_a_few_ulp_wherever_the_result_is_an_ordinary_number(target: str, name: str) -> None:
    reference, allowed, _ = FUNCTIONS[name]
    x = _arguments(name)
    assert len(x) >= 1e6
    found = _apply(target, name, x)
    with np.errstate(all="ignore"):
        seen = np.where(abs(x) < MIN_NORMAL, np.copysign(np.float32(0), x), x)
        wanted = reference(seen.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    infinite = abs(wanted) >= OVERFLOW
    np.testing.assert_array_equal(found[infinite], np.sign(wanted[infinite]) * np.inf)
    tiny = abs(wanted) < MIN_NORMAL
    assert (abs(found[tiny]) <= np.float32(MIN_NORMAL)).all()
    ordinary = np.isfinite(wanted) & ~infinite & ~tiny
    spacing = 2.0 ** (np.floor(np.log2(abs(wanted[ordinary]))) - 23)
    off = abs(found[ordinary] - wanted[ordinary]) / spacing
    off[(abs(wanted[ordinary]) < 1.01 * MIN_NORMAL) & (found[ordinary] == 0)] = 0  # flushed
    worst = int(np.nanargmax(off))
    assert off[worst] <= allowed, f"{name}({x[ordinary][worst]!r}) is off by {off[worst]:.2f} ulp"


@pytest.mark.parametrize("target", runnable_targets())
@pytest.mark.parametrize("flush", [True, False])
def test_special_values(target: str, flush: bool) -> None:
    inf, nan, tiny = math.inf, math.nan, 1e-40
    table: dict[str, list[tuple[float, float]]] = {
        "vexp": [(0, 1), (-0.0, 1), (inf, inf), (-inf, 0), (tiny, 1), (-200, 0), (1e38, inf)],
        "vlog": [(0, -inf), (-0.0, -inf), (1, 0), (inf, inf), (-1, nan), (-inf, nan)],
        "vlog1p": [(0, 0), (inf, inf), (1e-30, 1e-30)],
        "vtanh": [(0, 0), (-0.0, -0.0), (inf, 1), (-inf, -1), (1e-30, 1e-30), (20, 1)],
        "verf": [(0, 0), (-0.0, -0.0), (inf, 1), (-inf, -1), (5, 1), (-5, -1)],
        "vsigmoid": [(0, 0.5), (inf, 1), (-inf, 0), (-200, 0), (200, 1)],
        "vsoftplus": [(inf, inf), (-inf, 0), (100, 100), (-200, 0)],
        "vsqrt": [(0, 0), (-0.0, -0.0), (4, 2), (inf, inf), (-1, nan)],
    }
    for name, pairs in table.items():
        x = np.array([*(pair[0] for pair in pairs), nan], np.float32)
        wanted = np.array([*(pair[1] for pair in pairs), nan], np.float32)
        found = _apply(target, name, x, flush=flush)
        np.testing.assert_array_equal(found, wanted, name)
        known = ~np.isnan(wanted)
        signs = np.signbit(found), np.signbit(wanted)
        np.testing.assert_array_equal(signs[0][known], signs[1][known], name)


@pytest.mark.parametrize("target", runnable_targets())
def test_denormals_count_as_zero_for_the_logarithm_in_either_mode(target: str) -> None:
    x = np.array([1e-40, MIN_NORMAL], np.float32)
    for flush in (True, False):
        found = _apply(target, "vlog", x, flush=flush)
        assert found[0] == -math.inf
        assert found[1] == pytest.approx(math.log(MIN_NORMAL), rel=1e-6)


@pytest.mark.parametrize("target", runnable_targets())
def test_exp_overflows_at_the_very_float_where_it_should(target: str) -> None:
    last = np.float32(88.72283)
    x = np.array([last, np.nextafter(last, np.float32(100))], np.float32)
    assert np.exp(x.astype(np.float64))[0] < OVERFLOW <= np.exp(x.astype(np.float64))[1]
    found = _apply(target, "vexp", x)
    assert found[0] == pytest.approx(LARGEST, rel=1e-4)
    assert found[1] == math.inf
