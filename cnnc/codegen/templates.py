"""The Jinja environment: templates/ with the functions of cnnc.codegen.text.

Compiling the templates takes longer than filling them, so what Jinja makes of them is kept in the
cache directory, under a name that changes with any template. Without a writable cache they are
compiled anew. Does not render anything.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    ModuleLoader,
    StrictUndefined,
    Template,
)

from cnnc.codegen import text
from cnnc.resources import cache_directory, resource

_FUNCTIONS = (
    text.upto,
    text.sums,
    text.declare_sums,
    text.spot,
    text.spot_of,
    text.shifted,
    text.each,
    text.pairs,
    text.products,
    text.combine,
    text.in_two,
    text.number,
    text.plus,
)


@cache
def template(name: str) -> Template:
    """The template of that file name."""
    return _environment().get_template(name)


def macro(stem: str, name: str) -> Callable[..., str]:
    """A macro of templates/<stem>.pyx.j2."""
    module: Any = template(f"{stem}.pyx.j2").module
    found: Callable[..., str] = getattr(module, name)
    return found


def has_macro(stem: str, name: str) -> bool:
    """Whether templates/<stem>.pyx.j2 has a macro of that name."""
    return hasattr(template(f"{stem}.pyx.j2").module, name)


@cache
def _environment() -> Environment:
    directory = resource("templates")
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - what is written is Cython
    )
    environment.filters |= {
        "under": text.under,
        "under_if": text.under_if,
        "words": text.words,
        "typed_array": "{}: NDArray[Any]".format,
    }
    environment.globals |= {function.__name__: function for function in _FUNCTIONS}
    environment.loader = _loader(environment, directory)
    return environment


def _loader(environment: Environment, directory: Path) -> BaseLoader:
    """The compiled templates first, where there is room to keep them."""
    files = FileSystemLoader(directory)
    kept = cache_directory() / f"templates-{_key(directory)}"
    if not kept.is_dir():
        environment.loader = files
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix="templates-", suffix=".tmp", dir=kept.parent))
        except OSError:
            return files
        try:
            environment.compile_templates(fresh, extensions=["j2"], zip=None, ignore_errors=False)
            fresh.replace(kept)
        except OSError:
            # No room, or another process was first.
            shutil.rmtree(fresh, ignore_errors=True)
    return ChoiceLoader([ModuleLoader(kept), files])


def _key(directory: Path) -> str:
    """A hash of every template and of Jinja's version."""
    digest = hashlib.sha256(version("jinja2").encode())
    for path in sorted(directory.glob("*.j2")):
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
