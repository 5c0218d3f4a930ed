"""What goes wrong outside the compiled kernels: in files of data, and in a training run.

Says nothing of specs; those are `cnnc.diagnostics`.
"""

from __future__ import annotations


class DataError(ValueError):
    """Data that cannot be read or does not fit; the message names the file and both sides."""


class TrainingError(RuntimeError):
    """A training run that cannot go on; the message says at which step and what to try."""
