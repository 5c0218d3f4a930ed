"""Which cache lines are asked for, and when: the C code with a prefetch that is written down."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cnnc.codegen.templates import template
from cnnc.codegen.toolchain import find_compiler

HARNESS = """
#include <stddef.h>
typedef float vec __attribute__((vector_size(VECTOR)));
static const char *lines[1000];
static int asked;
#define __builtin_prefetch(line, writes, near) (lines[asked++] = (line))
%s
/* Some tensors in one memory of elements: which line is asked for in each of `times`, or -1. */
void ask(int every, int times, const int *starts, const int *shapes, int count, int *found) {
    static vec memory[10000];
    Ahead ahead;
    ahead_begin(&ahead, every);
    for (int i = 0; i < count; i++)
        ahead_add(&ahead, memory + starts[i], shapes[3 * i], shapes[3 * i + 1], shapes[3 * i + 2]);
    for (int i = 0; i < times; i++) {
        int before = asked = 0;
        ahead_ask(&ahead);
        found[i] = asked > before ? (int)(lines[0] - (const char *)memory) : -1;
    }
}
"""


@pytest.fixture(scope="module", params=[64, 32, 16])
def asking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("ahead")
    code = template("ahead.pyx.j2").render(ahead=3).split('"""')[1]
    (folder / "ahead.c").write_text(HARNESS % code)
    command = [*find_compiler().command, f"-DVECTOR={request.param}", "-O1", "-shared", "-fPIC"]
    subprocess.run([*command, "ahead.c", "-o", "ahead.so"], cwd=folder, check=True)
    library = ctypes.CDLL(str(Path(folder, "ahead.so")))

    def ask(every: int, times: int, parts: list[tuple[int, int, int, int]]) -> list[int]:
        starts = (ctypes.c_int * 3)(*(part[0] for part in parts))
        shapes = (ctypes.c_int * 9)(*(n for part in parts for n in part[1:]))
        found = (ctypes.c_int * times)()
        library.ask(every, times, starts, shapes, len(parts), found)
        return list(found)

    return request.param, ask


def _lines(size: int, parts: list[tuple[int, int, int, int]]) -> list[int]:
    return [
        (start + run * stride) * size + 64 * line
        for start, runs, stride, elements in parts
        for run in range(runs)
        for line in range(-(-elements * size // 64))
    ]


PARTS = [(8, 3, 100, 5), (1000, 1, 0, 12), (4000, 2, 64, 1)]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("every", [1, 4])
def test_each_line_is_asked_for_once_in_order_at_even_distances(
    asking: Any, every: int, count: int
) -> None:
    size, ask = asking
    wanted = _lines(size, PARTS[:count])
    found = ask(every, every * (len(wanted) + 5), PARTS[:count])
    assert found[every - 1 :: every] == [*wanted, -1, -1, -1, -1, -1]
    assert all(line == -1 for i, line in enumerate(found) if (i + 1) % every)
