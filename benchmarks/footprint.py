"""What does LeNet cost besides its arithmetic: to compile, to import, to keep in memory?

Everything is measured from outside, in fresh processes that alternate: seconds of cold and cached
compilations, the size of the extension, what `import lenet` adds to `import numpy`, the time of
`cnnc --help`, and the peak memory of training steps at two batch sizes less the arrays themselves.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from report import ROOT, Report, arguments, spread

SPEC = ROOT / "specs" / "lenet.cnn"
SMALL, LARGE = 16, 1024
MEGA = 2**20

STEP = """
import resource, sys
import numpy as np
import lenet
n = int(sys.argv[1])
net = lenet.Model(seed=0, threads=int(sys.argv[2]))
images = np.ones((n, 1, 28, 28), np.uint8)
labels = np.ones(n, np.int64)
for _ in range(3):
    net.train_step(images, labels)
# The arrays, and the labels once more as the 4-byte integers that kernels read.
data = images.nbytes + labels.nbytes + 4 * n
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - data)
"""

IMPORT = """
import time
import numpy
start = time.perf_counter()
import lenet
print(time.perf_counter() - start)
"""


class Runs:
    """Wall and processor seconds of processes that have to succeed."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.processor: list[float] = []

    def run(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Run once and keep both."""
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        end, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(done.stderr or done.stdout)
        self.wall.append(end - start)
        user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
        self.processor.append(user + system)

    def row(self, name: str, form: str, limit: str) -> tuple[str, ...]:
        """As the table wants it."""
        return name, spread(self.wall, form), spread(self.processor, form), limit


def number_from(code: str, environment: dict[str, str], *values: str) -> float:
    """What a Python program prints."""
    command = (sys.executable, "-c", code, *values)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout)


def with_path(environment: dict[str, str], path: Path) -> dict[str, str]:
    """The environment of a program that imports from `path`."""
    return {**environment, "PYTHONPATH": str(path)}


def measure_compile(report: Report, base: dict[str, str], out: Path, runs: int) -> None:
    """Cold and cached compilations, and `cnnc --help`."""
    cnnc = (sys.executable, "-m", "cnnc")
    environment = with_path(base, ROOT)
    Runs().run((*cnnc, "compile", str(SPEC), "-o", str(out)), environment)
    cold, cached, asked, bare = Runs(), Runs(), Runs(), Runs()
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as cache:
            fresh = {**environment, "CNNC_CACHE_DIR": cache}
            command = (*cnnc, "compile", str(SPEC), "-o", str(out))
            cold.run(command, fresh)
            for _ in range(3):
                cached.run(command, fresh)
        for _ in range(3):
            asked.run((*cnnc, "--help"), environment)
            bare.run((sys.executable, "-c", "pass"), environment)
    rows = [
        cold.row("cnnc compile, cold", ".2f", "10"),
        cached.row("  from the cache", ".2f", "0.5"),
        asked.row("cnnc --help", ".3f", "0.2"),
        bare.row("  Python itself", ".3f", ""),
    ]
    report.table(("", "wall, s", "processor, s", "wall at most"), rows)
    (extension,) = out.glob("lenet.*.so")
    report.line(f"lenet.so: {extension.stat().st_size / 1e6:.3f} MB, at most 1.5")
    report.line()


def measure_import(report: Report, environment: dict[str, str], runs: int) -> None:
    """Inside a process that has NumPy, and as the difference of two processes."""
    inside = []
    alone, both = Runs(), Runs()
    for _ in range(runs):
        inside.append(1000 * number_from(IMPORT, environment))
        alone.run((sys.executable, "-c", "import numpy"), environment)
        both.run((sys.executable, "-c", "import numpy, lenet"), environment)
    differences = [1000 * (b - a) for a, b in zip(alone.wall, both.wall, strict=True)]
    rows = [
        ("import lenet after import numpy, ms", spread(inside, ".2f"), "10"),
        ("difference of two processes, ms", spread(differences, ".0f"), "10"),
    ]
    report.table(("", "median (min to max)", "at most"), rows)


def measure_memory(report: Report, environment: dict[str, str], runs: int) -> None:
    """Peak resident memory of training steps, less their arrays."""
    rows = []
    for threads in (1, 2):
        found: dict[int, list[float]] = {SMALL: [], LARGE: []}
        for _ in range(runs):
            for size, values in found.items():
                bytes_ = number_from(STEP, environment, str(size), str(threads))
                values.append(bytes_ / MEGA)
        differences = [b - a for a, b in zip(found[SMALL], found[LARGE], strict=True)]
        rows.append(
            (
                str(threads),
                *(spread(values) for values in found.values()),
                spread(differences),
                "20",
            )
        )
    headings = ("threads", f"batch {SMALL}, MB", f"batch {LARGE}, MB", "more, MB", "at most")
    report.table(headings, rows)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    report = Report("What LeNet costs", ("numpy", "cython"), options.output)
    report.paragraph(f"Medians (min-max) of {options.runs} or more interleaved runs.")
    dropped = ("CNNC_CACHE_DIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    base = {name: value for name, value in os.environ.items() if name not in dropped}
    with tempfile.TemporaryDirectory() as directory:
        # Modules are byte-compiled by the first run, as an installer does it, but not into here.
        base["PYTHONPYCACHEPREFIX"] = str(Path(directory) / "bytecode")
        out = Path(directory) / "out"
        measure_compile(report, base, out, options.runs)
        environment = with_path(base, out)
        measure_import(report, environment, 3 * options.runs)
        measure_memory(report, environment, options.runs)
    report.finish()


if __name__ == "__main__":
    main()
