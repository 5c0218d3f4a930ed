"""The commands that measure how fast a compiled model is: bench, profile."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnc.cli.models import compile_model, resolve_model
from cnnc.cli.options import (
    SECONDS,
    SpecChoice,
    spec_options,
    target_option,
    threads_option,
    verbose_option,
)
from cnnc.cli.report import check_writable, fail, on_terminal, show_compiling, show_table
from cnnc.cli.tuning import Tuned, tuning_options

if TYPE_CHECKING:
    from cnnc.cli.options import Command
    from cnnc.measure import Ceilings, Lap, Latency, Profile

WIDTH = 80
BATCHES = {False: (1, 64), True: (32, 128)}
"""What bench measures: batches in inference, and in training."""
PROFILED = {False: 64, True: 128}
"""The batch of a profile."""
SMALL = 0.001
"""Calls with a smaller share of the time are added up, unless all are asked for."""
BATCH = click.IntRange(1, 2**24 - 1)
RATES = ("us", "%time", "GFLOP/s", "%peak", "GB/s", "%mem")


def format_options(command: Command) -> Command:
    """`--format`, as other commands have it, and a short form of it."""
    choice = click.option(
        "--format",
        "output_format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="For people or for programs.",
    )
    short = click.option("--json", "output_format", flag_value="json", help="As --format json.")
    return choice(short(command))


@click.command("bench")
@spec_options
@click.option(
    "--batch",
    "batches",
    type=BATCH,
    multiple=True,
    help="Samples a call; may be repeated.  [default: 1 and 64; in training 32 and 128]",
)
@click.option(
    "--training/--inference",
    default=None,
    help="Measure only one of them.  [default: both, as far as the spec has them]",
)
@threads_option
@click.option(
    "--seconds", type=SECONDS, default=2.0, show_default=True, help="Time for each batch."
)
@target_option
@tuning_options
@format_options
@verbose_option
def bench_command(
    choice: SpecChoice,
    batches: tuple[int, ...],
    training: bool | None,
    threads: int | None,
    seconds: float,
    target: str | None,
    tuned: Tuned,
    output_format: str,
    verbose: bool,
) -> None:
    """Measure how long calls of a model take, and how much it gets done.

    Inference and training steps on random numbers, from NumPy arrays to NumPy arrays; the median,
    and the times beyond which a tenth of the calls lies. The peak that shares are of is measured
    between them.
    """
    trains = _trains(choice, training)
    compiled = compile_model(choice, target, verbose=verbose, tuned=tuned)
    from cnnc.measure import Case, Peak, bench

    directions = [False, True] if training is None else [training]
    cases = [
        Case(direction, batch)
        for direction in directions
        if trains or not direction
        for batch in batches or BATCHES[direction]
    ]
    peak = Peak(compiled.target, show_compiling)
    click.echo(f"measuring, {seconds * len(cases):.3g} s ...", err=True)
    found = bench(compiled, peak, cases, threads=threads, seconds=seconds)
    if output_format == "json":
        results = [_latency_as_json(latency) for latency in found]
        entries = {"model": compiled.name, "target": compiled.target.name, "results": results}
        click.echo(json.dumps(entries, indent=2))
        return
    used = found[0].threads
    click.echo(
        f"{compiled.name}, {compiled.target.name}, {used} thread{'s' if used > 1 else ''}, "
        f"peak {found[0].peak:.0f} GFLOP/s\n"
    )
    headers = ("batch", "", "median", "10-90 %", "samples/s", "GFLOP/s", "%peak")
    show_table(headers, map(_latency_row, found), left=2, width=WIDTH)


@click.command("profile")
@spec_options
@click.option(
    "--batch", type=BATCH, help="Samples a step.  [default: 128 in training, 64 in inference]"
)
@click.option(
    "--training/--inference",
    default=None,
    help="What to look into.  [default: training, if the spec has it]",
)
@click.option(
    "--seconds", type=SECONDS, default=5.0, show_default=True, help="How long to measure."
)
@click.option(
    "--sort",
    type=click.Choice(["step", "time"]),
    default="step",
    show_default=True,
    help="Calls in the order of a step, or the longest first.",
)
@click.option("--all", "everything", is_flag=True, help="Show the smallest calls, too.")
@click.option(
    "--svg",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the roofline into this file; needs matplotlib.",
)
@target_option
@tuning_options
@format_options
@verbose_option
def profile_command(
    choice: SpecChoice,
    batch: int | None,
    training: bool | None,
    seconds: float,
    sort: str,
    everything: bool,
    svg: Path | None,
    target: str | None,
    tuned: Tuned,
    output_format: str,
    verbose: bool,
) -> None:
    """Show where the time of a step goes, layer by layer.

    Per layer and direction the time of a step, its rate in multiply-adds and in bytes moved, and
    their shares of what one core of this machine was measured to do at most in the same run. One
    thread. docs/performance.md says how to read it.
    """
    trains = _trains(choice, training)
    training = trains if training is None else training
    if svg is not None:
        _check_drawing(svg)
    compiled = compile_model(choice, target, verbose=verbose, profile=True, tuned=tuned)
    from cnnc.measure import Peak, profile

    peak = Peak(compiled.target, show_compiling)
    click.echo(f"measuring, {seconds:g} s ...", err=True)
    found = profile(compiled, peak, batch or PROFILED[training], training=training, seconds=seconds)
    if svg is not None:
        from cnnc.measure.roofline import draw_roofline

        draw_roofline(found, svg)
    if output_format == "json":
        click.echo(json.dumps(_profile_as_json(found), indent=2))
        return
    _show_profile(found, by_time=sort == "time", everything=everything)


def _trains(choice: SpecChoice, training: bool | None) -> bool:
    """Whether the spec has a train block; fails where it has not and training is asked for."""
    graph = resolve_model(choice)
    if training and graph.training is None:
        fail(f"{choice.spec} has no train block, so {graph.name} cannot be trained")
    return graph.training is not None


def _check_drawing(path: Path) -> None:
    """Fail now, and not after the measurement, where the picture could not be made."""
    from cnnc.measure.roofline import has_matplotlib

    if not has_matplotlib():
        fail("--svg needs matplotlib, which is not installed", "pip install 'cnnc[plot]'")
    if path.suffix not in ("", ".svg"):
        fail(f"--svg {path}: what is drawn is SVG, of no other kind", "call it something.svg")
    if path.is_dir():
        fail(f"cannot write {path}: it is a directory")
    check_writable(path)


def _latency_row(latency: Latency) -> tuple[str, ...]:
    from cnnc.measure.words import duration

    case = latency.case
    return (
        str(case.batch),
        "training" if case.training else "inference",
        duration(latency.seconds),
        f"{duration(latency.low)} - {duration(latency.high)}",
        f"{latency.samples_per_second:,.0f}",
        f"{latency.gflops:.1f}",
        f"{100 * latency.gflops / latency.peak:.0f}",
    )


def _show_profile(found: Profile, *, by_time: bool, everything: bool) -> None:
    """The calls, the same by kind, and what they add up to."""
    what = "training" if found.training else "inference"
    click.echo(f"{found.name}, {what}, batch {found.batch}, {found.target}, one thread\n")
    width = WIDTH if on_terminal() else None
    total = sum(lap.seconds for lap in found.laps)
    least = 0.0 if everything else SMALL * total
    shown = [lap for lap in found.laps if lap.seconds >= least]
    if by_time:
        shown.sort(key=lambda lap: -lap.seconds)
    rows = [_lap_row(lap, lap.layer, total, found.ceilings) for lap in shown]
    if small := [lap for lap in found.laps if lap.seconds < least]:
        seconds = sum(lap.seconds for lap in small)
        rows.append((f"{len(small)} smaller", "", *_times(seconds, total), "-", "-", "-", "-"))
    show_table(("layer", "", *RATES), rows, left=2, width=width)
    click.echo()
    rows = [_lap_row(lap, lap.layer, total, found.ceilings) for lap in found.by_kind()]
    show_table(("kind", "", *RATES), rows, left=2, width=width)
    _show_whole(found)


def _show_whole(found: Profile) -> None:
    from cnnc.measure.words import duration

    rate = found.flops / found.seconds / 1e9
    ceilings = found.ceilings
    caches = ", ".join(f"{name} {rate:.0f}" for name, rate in ceilings.caches)
    lines = (
        ("a step", f"{duration(found.seconds)}, {found.batch / found.seconds:,.0f} samples/s"),
        ("multiply-adds", f"{rate:.1f} GFLOP/s, {100 * rate / ceilings.gflops:.0f} % of the peak"),
        ("peak of one core", f"{ceilings.gflops:.1f} GFLOP/s"),
        ("memory, triad", f"{ceilings.memory:.1f} GB/s; reading from {caches} GB/s"),
        ("steps", f"{found.steps}, medians"),
    )
    click.echo()
    for name, value in lines:
        click.echo(f"{name:<18}{value}")


def _lap_row(lap: Lap, name: str, total: float, ceilings: Ceilings) -> tuple[str, ...]:
    return (
        name,
        lap.direction.replace("gradient", "grad"),
        *_times(lap.seconds, total),
        f"{lap.gflops:.1f}" if lap.flops else "-",
        f"{100 * lap.gflops / ceilings.gflops:.0f}" if lap.flops else "-",
        f"{lap.bandwidth:.1f}" if lap.bytes else "-",
        f"{100 * lap.bandwidth / ceilings.memory:.0f}" if lap.bytes else "-",
    )


def _times(seconds: float, total: float) -> tuple[str, str]:
    us = seconds * 1e6
    return f"{us:.{1 if us < 1000 else 0}f}", f"{100 * seconds / total:.1f}"


def _latency_as_json(latency: Latency) -> dict[str, object]:
    entries = asdict(latency)
    return {
        **entries.pop("case"),
        **entries,
        "samples_per_second": latency.samples_per_second,
        "gflops": latency.gflops,
    }


def _profile_as_json(found: Profile) -> dict[str, object]:
    entries = asdict(found)
    entries["ceilings"]["caches"] = dict(found.ceilings.caches)
    entries["laps"] = [
        {**asdict(lap), "gflops": lap.gflops, "bandwidth": lap.bandwidth} for lap in found.laps
    ]
    return {**entries, "flops": found.flops}
