"""The `cnnc` command and `python -m cnnc`, for environments whose scripts are not on the path."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, of which Ctrl-C may already interrupt the import."""
    try:
        from cnnc.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
