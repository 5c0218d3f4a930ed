"""`python -m cnnc`, for environments whose scripts are not on the path."""

from __future__ import annotations

from cnnc.cli import main

if __name__ == "__main__":
    main()
