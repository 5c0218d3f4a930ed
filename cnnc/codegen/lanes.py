"""The C helpers that a module's lanes are made of: the vector type and what Cython cannot say.

Plain GCC/Clang vector extensions, no intrinsics of one processor, but for the floating-point mode.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnnc.ir.target import Target


def lanes_header(target: Target) -> dict[str, str]:
    """The lane count and shuffles as C text, for templates/lanes.pyx.j2."""
    lanes = target.lanes
    steps = [lanes >> k for k in range(1, lanes.bit_length())]
    turned = [
        f"__builtin_shufflevector(v, v, {_list((i + step) % lanes for i in range(lanes))})"
        for step in steps
    ]
    stages = []
    for step in reversed(steps):
        low = _list(i if not i & step else i - step + lanes for i in range(lanes))
        high = _list(i + step if not i & step else i + lanes for i in range(lanes))
        stages.append((step, low, high))
    return {
        **_by_fours(lanes),
        "evens": _list(2 * i for i in range(lanes)),
        "odds": _list(2 * i + 1 for i in range(lanes)),
        # Macros: a shuffle wants numbers that are constants before anything is inlined.
        "shifted": _lines(f"(lanes) + {i}" for i in range(lanes)),
        "joined": _lines(f"{i} + ({i} < (lanes) ? 0 : {lanes} - (lanes))" for i in range(lanes)),
        "count": str(lanes),
        "bytes": str(lanes * 4),
        "sum": "\n        ".join(f"v += {other};" for other in turned),
        "largest": "\n        ".join(
            f"o = {other};\n        v = vmaximum(v, o);" for other in turned
        ),
        "sums": "\n".join(_halving(*stage) for stage in reversed(stages)),
        "turns": "\n".join(_stage(*stage) for stage in stages),
    }


def _by_fours(lanes: int) -> dict[str, str]:
    """Shuffles of two registers that turn squares of four: their words, then pairs of words."""
    words = [i // 4 * 4 + i % 4 // 2 + i % 2 * lanes for i in range(lanes)]
    pairs = [i // 4 * 4 + i % 2 + i % 4 // 2 * lanes for i in range(lanes)]
    return {
        "low": _list(words),
        "high": _list(i + 2 for i in words),
        "front": _list(pairs),
        "back": _list(i + 2 for i in pairs),
    }


def _stage(step: int, low: str, high: str) -> str:
    return f"""\
        for (int r = 0; r < LANES; r++) {{
            if (r & {step}) continue;
            vec a = t[r], b = t[r + {step}];
            t[r] = __builtin_shufflevector(
                a, b, {low});
            t[r + {step}] = __builtin_shufflevector(
                a, b, {high});
        }}"""


def _halving(step: int, low: str, high: str) -> str:
    return f"""\
        for (int r = 0; r < {step}; r++) {{
            vec a = t[r], b = t[r + {step}];
            t[r] = __builtin_shufflevector(
                a, b, {low});
            t[r] += __builtin_shufflevector(
                a, b, {high});
        }}"""


def _lines(values: Iterable[str]) -> str:
    """The same on lines of a macro, two on each."""
    listed = list(values)
    pairs = (", ".join(listed[i : i + 2]) for i in range(0, len(listed), 2))
    return ", \\\n        ".join(pairs)


def _list(values: Iterable[int]) -> str:
    return ", ".join(map(str, values))
