"""The Jinja environment: templates/ with the functions of cnnc.codegen.text.

Compiling a template takes longer than filling it, so what Jinja makes of those that are asked for
is kept in the cache directory, under a name that changes with any template. Without a writable
cache they are compiled anew. Does not render anything.
"""

from __future__ import annotations

import hashlib
import importlib
import tempfile
from collections.abc import Callable, MutableMapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import (
    Environment,
    FileSystemLoader,
    ModuleLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
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
    kept = cache_directory() / "templates" / _key(directory)
    environment.loader = _Kept(kept, FileSystemLoader(directory))
    return environment


class _Kept(ModuleLoader):
    """Templates that are compiled to modules in a directory, each when it is first asked for."""

    has_source_access = True

    def __init__(self, kept: Path, files: FileSystemLoader) -> None:
        super().__init__(kept)
        self.kept, self.files = kept, files

    def get_source(self, environment: Environment, template: str) -> Any:
        """The text of a template."""
        return self.files.get_source(environment, template)

    def list_templates(self) -> list[str]:
        """The names of all that there are."""
        return self.files.list_templates()

    def load(
        self,
        environment: Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - as Jinja names it
    ) -> Template:
        """The template, from its module; from its text where there is no room for one."""
        module = self.get_module_filename(name)
        try:
            if not (self.kept / module).is_file():
                self.kept.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(suffix=".tmp", dir=self.kept) as fresh:
                    environment.compile_templates(
                        fresh, filter_func=name.__eq__, zip=None, ignore_errors=False
                    )
                    Path(fresh, module).replace(self.kept / module)
                importlib.invalidate_caches()
            return super().load(environment, name, globals)
        except (OSError, TemplateNotFound):
            return self.files.load(environment, name, globals)


def _key(directory: Path) -> str:
    """A hash of every template and of Jinja's version."""
    digest = hashlib.sha256(version("jinja2").encode())
    for path in sorted(directory.glob("*.j2")):
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
