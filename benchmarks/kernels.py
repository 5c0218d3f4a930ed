"""How fast is each generated kernel, as a share of what one core can do at most?

Every kernel that one block of samples goes through is timed inside the generated module, on one
thread, in two ways: alone, called again and again on the same memory, and in step, once each in the
order of a real step, so that it finds its data where the kernels before it left them.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peak import Peak
from report import ROOT, Report, arguments, spread
from timed_module import TimedModule

ALONE = 0.0003
"""Seconds that a kernel is repeated for."""
STEPS = 100
"""Steps of a round."""


@dataclass(slots=True)
class Samples:
    """What the rounds found: seconds a call, one row a round or step."""

    alone: list[NDArray[np.float64]] = field(default_factory=list)
    step: list[NDArray[np.float64]] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)


def measure(module: TimedModule, peak: Peak, rounds: int, batch: int) -> Samples:
    """Interleave the peak, the kernels alone, in step, and the step as users call it."""
    once = np.ones(len(module.calls), np.int_)
    for _ in range(STEPS):
        module.seconds(once)
    single = np.min([module.seconds(once) for _ in range(STEPS)], axis=0)
    # A loader for another dtype than the data's is never called.
    repeats = np.maximum(1, ALONE / np.maximum(single, 1e-9)).astype(np.int_)
    arrays = module.samples(batch)
    found = Samples()
    for _ in range(rounds):
        found.peaks.append(peak.gflops())
        found.alone.append(module.seconds(repeats))
        module.seconds(once)
        found.step += [module.seconds(once) for _ in range(STEPS)]
        module.step(arrays)
        for _ in range(STEPS // 4):
            start = time.perf_counter()
            module.step(arrays)
            found.whole.append(time.perf_counter() - start)
    return found


def show(report: Report, module: TimedModule, found: Samples, batch: int) -> None:
    """The table and what it adds up to."""
    peak = statistics.median(found.peaks)
    alone = np.median(found.alone, axis=0)
    step = np.maximum(np.median(found.step, axis=0) - module.clock_cost(), 0)
    rows = []
    for call, a, s in zip(module.calls, alone, step, strict=True):
        if a == 0:
            continue
        rows.append((call.kernel, *_rates(call.flops, a, s, peak), f"{100 * s / step.sum():.1f}"))
    flops = sum(call.flops for call in module.calls)
    rows.append(("all kernels", *_rates(flops, alone.sum(), step.sum(), peak), "100.0"))
    report.table(("one block", "MFLOP", "us", "GFLOP/s", "%peak", "us", "%peak", "%time"), rows)
    blocks = -(-batch // module.lanes)
    whole = statistics.median(found.whole)
    rate = blocks * flops / whole / 1e9
    step_name = "train_step" if module.trains else "inference"
    report.line(f"peak of one core      {spread(found.peaks)} GFLOP/s")
    report.line(
        f"{step_name} of {batch:<4}    {whole * 1e6:10.1f} us, {batch / whole:,.0f} samples/s"
    )
    report.line(f"  a block             {whole / blocks * 1e6:10.1f} us, of which kernels in step")
    report.line(f"                      {step.sum() * 1e6:10.1f} us")
    report.line(f"  arithmetic          {rate:10.1f} GFLOP/s, {100 * rate / peak:.1f} % of peak")
    report.line()


def _rates(flops: int, alone: float, step: float, peak: float) -> tuple[str, ...]:
    cells = [f"{flops / 1e6:.3f}" if flops else "-"]
    for seconds in (alone, step):
        rate = flops / seconds / 1e9
        cells.append(f"{seconds * 1e6:.2f}")
        if seconds is alone:
            cells.append(f"{rate:.1f}" if flops else "-")
        cells.append(f"{100 * rate / peak:.0f}" if flops else "-")
    return tuple(cells)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("spec", nargs="?", type=Path, default=ROOT / "specs" / "lenet.cnn")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64, help="of the whole step")
    parser.add_argument("--target", help="build for this target instead of this machine's best")
    parser.add_argument("--forward", action="store_true", help="inference, without the backward")
    options = parser.parse_args()
    module = TimedModule(options.spec, options.target, forward=options.forward)
    peak = Peak(module.program.target)
    direction = "training" if module.trains else "inference"
    title = f"Kernels of {options.spec.name}, {direction}, {module.program.target.name}, one thread"
    report = Report(title, ("numpy", "cython"), options.output)
    report.paragraph(
        f"One block is {module.lanes} samples. First the kernel alone, repeated in place, its"
        " data in the nearest cache that holds them. Then (second us and %peak) once, in the"
        f" order of a step. Medians of {options.rounds} interleaved rounds; a kernel without"
        " multiply-adds has its time only."
    )
    show(report, module, measure(module, peak, options.rounds, options.batch), options.batch)
    report.finish()


if __name__ == "__main__":
    main()
