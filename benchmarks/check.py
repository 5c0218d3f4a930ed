"""How long does `cnnc check` take for each network of specs/? It should be below a second.

Fresh processes, one for each network and round; the rounds alternate over the networks. The first
row is an empty Python, for comparison.
"""

from __future__ import annotations

import subprocess
import sys
import time

from report import ROOT, Report, arguments, spread

LIMIT = "1"


def seconds(*command: str) -> float:
    """Of a process that has to succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr or done.stdout)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    report = Report("What it takes to check a network", ("numpy",), options.output)
    report.paragraph(f"Seconds of the whole process, median (min-max) of {options.rounds} rounds.")
    commands = {"(Python itself)": ("-c", "pass")}
    for path in sorted((ROOT / "specs").glob("*.cnn")):
        commands[path.stem] = ("-m", "cnnc", "check", str(path.relative_to(ROOT)))
    found: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        seconds(sys.executable, *command)  # what Python compiles once
    for _ in range(options.rounds):
        for name, command in commands.items():
            found[name].append(seconds(sys.executable, *command))
    rows = [
        (name, spread(values, ".2f"), "" if name.startswith("(") else LIMIT)
        for name, values in found.items()
    ]
    report.table(("network", "wall, s", "at most"), rows)
    report.finish()


if __name__ == "__main__":
    main()
