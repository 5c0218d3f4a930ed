"""cnnc compiles a description of a convolutional network to a Cython extension module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnc.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["__version__", "compile"]


def compile(  # noqa: A001 - the verb of this package
    path: str | Path,
    output: str | Path | None = None,
    target: str | None = None,
    *,
    model: str | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Any:
    """The Model class of a compiled spec file.

    `model` chooses one of several in the file, `parameters` sets the model's parameters. With
    `output`, the extension, its source and its stub are left in that directory. `target` is a
    name such as `x86-64-v3`; by default the build machine's. Raises cnnc.diagnostics.CompileError
    for a spec that cannot be read or is wrong, and for a build that fails.
    """
    # Imported here: `import cnnc.runtime` must not load the compiler.
    from pathlib import Path

    from cnnc.compiler import Options, compile_spec

    options = Options(target, model, parameters or {})
    directory = None if output is None else Path(output)
    return compile_spec(path, output=directory, options=options).load().Model
