"""Frontend: text -> Spec (parse) -> Graph (resolve)."""

from __future__ import annotations

from cnnc.frontend.parser import parse
from cnnc.frontend.printer import format_spec
from cnnc.frontend.resolver import resolve
from cnnc.frontend.spec import Spec
from cnnc.limits import DEFAULT_LIMITS, Limits
from cnnc.sources import read_source, split_model

__all__ = [
    "DEFAULT_LIMITS",
    "Limits",
    "Spec",
    "format_spec",
    "parse",
    "read_source",
    "resolve",
    "split_model",
]
