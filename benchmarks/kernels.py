"""How fast is each generated kernel, as a share of what one core can do at most?

The page that `cnnc profile` shows, with every call, kept beside the other results: calls in the
order of a real step, so that each finds its data where those before it left them, on one thread.
"""

from __future__ import annotations

from pathlib import Path

from report import ROOT, Report, arguments

from cnnc.compiler import Options, compile_spec
from cnnc.measure import Lap, Peak, Profile, profile


def show(report: Report, found: Profile) -> None:
    """The table and what it adds up to."""
    total = sum(lap.seconds for lap in found.laps)
    headings = ("a step", "MFLOP", "us", "GFLOP/s", "%peak", "GB/s", "%time")
    report.table(headings, [_row(lap, found, total) for lap in found.laps])
    rate = found.flops / found.seconds / 1e9
    share = 100 * rate / found.ceilings.gflops
    samples = found.batch / found.seconds
    report.line(f"peak of one core      {found.ceilings.gflops:10.1f} GFLOP/s")
    report.line(f"memory, triad         {found.ceilings.memory:10.1f} GB/s")
    report.line(f"a step                {1e6 * found.seconds:10.1f} us, {samples:,.0f} samples/s")
    report.line(f"  arithmetic          {rate:10.1f} GFLOP/s, {share:.1f} % of peak")
    report.line()


def _row(lap: Lap, found: Profile, total: float) -> tuple[str, ...]:
    return (
        f"{lap.layer} {lap.direction}",
        f"{lap.flops / 1e6:.1f}" if lap.flops else "-",
        f"{1e6 * lap.seconds:.1f}",
        f"{lap.gflops:.1f}" if lap.flops else "-",
        f"{100 * lap.gflops / found.ceilings.gflops:.0f}" if lap.flops else "-",
        f"{lap.bandwidth:.1f}" if lap.bytes else "-",
        f"{100 * lap.seconds / total:.1f}",
    )


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("spec", nargs="?", type=Path, default=ROOT / "specs" / "lenet.cnn")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--batch", type=int, default=64, help="samples of a step")
    parser.add_argument("--target", help="build for this target instead of this machine's best")
    parser.add_argument("--forward", action="store_true", help="inference, without the backward")
    options = parser.parse_args()
    compiled = compile_spec(options.spec, options=Options(target=options.target, profile=True))
    training = not options.forward and compiled.graph.training is not None
    direction = "training" if training else "inference"
    title = f"Kernels of {options.spec.name}, {direction}, {compiled.target.name}, one thread"
    report = Report(title, ("numpy", "cython"), options.output)
    found = profile(
        compiled, Peak(compiled.target), options.batch, training=training, seconds=options.seconds
    )
    report.paragraph(
        f"Batch {found.batch}, a block is {compiled.target.lanes} samples. Medians of {found.steps}"
        " steps; a call's time is that of all blocks. A call without multiply-adds has its time and"
        " the bytes that it moves only."
    )
    show(report, found)
    report.finish()


if __name__ == "__main__":
    main()
