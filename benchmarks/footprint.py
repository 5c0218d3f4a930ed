"""What does LeNet cost besides its arithmetic: to compile, to import, to keep in memory?

Everything is measured from outside, in fresh processes that alternate: seconds of cold and cached
compilations, the size of the extension, what `import lenet` adds to `import numpy`, the time of
`cnnc --help`, and the peak memory of training steps at two batch sizes less the arrays themselves.
"""

from __future__ import annotations

import os
import statistics
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


def seconds_of(command: Sequence[str], environment: dict[str, str]) -> float:
    """Wall seconds of a process that has to succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(done.stderr or done.stdout)
    return seconds


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
    cold, cached, asked, bare = [], [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as cache:
            fresh = {**environment, "CNNC_CACHE_DIR": cache}
            command = (*cnnc, "compile", str(SPEC), "-o", str(out))
            cold.append(seconds_of(command, fresh))
            cached += [seconds_of(command, fresh) for _ in range(3)]
        for _ in range(3):
            asked.append(seconds_of((*cnnc, "--help"), environment))
            bare.append(seconds_of((sys.executable, "-c", "pass"), environment))
    (extension,) = out.glob("lenet.*.so")
    rows = [
        ("cnnc compile, cold, s", spread(cold, ".2f"), "10"),
        ("cnnc compile, from the cache, s", spread(cached, ".3f"), "0.5"),
        ("cnnc --help, s", spread(asked, ".3f"), "0.2"),
        ("  of which Python itself, s", spread(bare, ".3f"), ""),
        ("lenet.so, MB", f"{extension.stat().st_size / 1e6:.3f}", "1.5"),
    ]
    report.table(("to compile", "median (min-max)", "at most"), rows)


def measure_import(report: Report, environment: dict[str, str], runs: int) -> None:
    """Inside a process that has NumPy, and as the difference of two processes."""
    inside, differences = [], []
    for _ in range(runs):
        inside.append(1000 * number_from(IMPORT, environment))
        alone = seconds_of((sys.executable, "-c", "import numpy"), environment)
        both = seconds_of((sys.executable, "-c", "import numpy, lenet"), environment)
        differences.append(1000 * (both - alone))
    middle = statistics.median(differences)
    rows = [
        ("import lenet after import numpy, ms", spread(inside, ".2f"), "10"),
        ("the same as a difference of processes, ms", f"{middle:.2f}", "10"),
    ]
    report.table(("to import", "median (min-max)", "at most"), rows)


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
    dropped = ("CNNC_CACHE_DIR", "PYTHONPATH")
    base = {name: value for name, value in os.environ.items() if name not in dropped}
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        measure_compile(report, base, out, options.runs)
        environment = with_path(base, out)
        measure_import(report, environment, 3 * options.runs)
        measure_memory(report, environment, options.runs)
    report.finish()


if __name__ == "__main__":
    main()
