"""How well does LeNet read MNIST after the training that its spec asks for, seed by seed?

Runs the loop of `cnnc train specs/lenet.cnn`: the seed chooses the first weights and the order of
the samples. Results do not depend on the number of threads.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from report import ROOT, Report, arguments

from cnnc.compiler import compile_spec
from cnnc.runtime import fit, load_dataset

GOAL = 98.9
"""Per cent of the test samples."""


def main() -> None:
    """Train and print."""
    parser = arguments(__doc__)
    parser.add_argument("spec", nargs="?", type=Path, default=ROOT / "specs" / "lenet.cnn")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--goal", type=float, default=GOAL, help="per cent")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    module = compile_spec(options.spec).load()
    training = module.Model.training
    if training is None or module.Model.classes is None:
        raise SystemExit(f"{options.spec.name} does not train a classifier")
    dataset = load_dataset(training["data"])
    report = Report(f"Test accuracy of {options.spec.name}", ("numpy",), options.output)
    report.paragraph(
        f"{training['epochs']} epochs of {training['data']}, batch {training['batch']},"
        f" {training['optimizer']}. Goal: {options.goal:g} % with every seed."
    )
    rows, last = [], []
    for seed in range(options.seeds):
        net = module.Model(seed=seed, threads=options.threads)
        start = time.perf_counter()
        history = fit(net, dataset, seed=seed)
        seconds = time.perf_counter() - start
        accuracies = [100 * (epoch.test_accuracy or 0) for epoch in history]
        last.append(accuracies[-1])
        cells = [f"{accuracy:.2f}" for accuracy in accuracies]
        verdict = "reached" if last[-1] >= options.goal else "missed"
        rows.append((str(seed), *cells, f"{history[-1].loss:.4f}", f"{seconds:.1f}", verdict))
    epochs = [f"epoch {i}, %" for i in range(1, len(rows[0]) - 3)]
    report.table(("seed", *epochs, "last loss", "seconds", "goal"), rows)
    reached = sum(accuracy >= options.goal for accuracy in last)
    report.line(
        f"median {statistics.median(last):.2f} %, lowest {min(last):.2f} %;"
        f" {reached} of {len(last)} reached {options.goal:g} %"
    )
    report.finish()


if __name__ == "__main__":
    main()
