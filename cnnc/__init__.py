"""cnnc compiles a description of a convolutional network to a Cython extension module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cnnc.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cnnc.frontend import Limits

__all__ = ["__version__", "compile"]


def compile(  # noqa: A001 - the verb of this package
    path: str | Path,
    output: str | Path | None = None,
    target: str | None = None,
    *,
    model: str | None = None,
    parameters: Mapping[str, float] | None = None,
    search: Iterable[str | Path] = (),
    **limits: int,
) -> Any:
    """The Model class of a compiled spec file.

    `model`, or a path such as `heads.cnn:small`, chooses one of several in the file; `parameters`
    sets the model's parameters. With `output`, the extension, its source and its stub are left in
    that directory. `target` is a name such as `x86-64-v3`, or several with commas between them, of
    which the module chooses when it is imported; by default the build machine's. `search` are
    directories, besides the spec's own, from which it may import. `limits` are those of
    cnnc.frontend.Limits with max_ before them: max_nodes, max_parameters, max_memory (bytes of the
    activations of a sample), max_depth; each is an int. Raises TypeError for an argument of another
    type, ValueError for a limit out of range, and cnnc.diagnostics.CompileError for a spec that
    cannot be read or is wrong, and for a build that fails.
    """
    # Imported here: `import cnnc.runtime` must not load the compiler.
    from collections.abc import Mapping
    from pathlib import Path

    from cnnc.compiler import Options, compile_spec

    if parameters is not None and not isinstance(parameters, Mapping):
        raise TypeError(f"parameters is a dict of numbers by name, got {parameters!r:.60}")
    if target is not None and not isinstance(target, str):
        raise TypeError(f"target is a str such as 'x86-64-v2,x86-64-v3', got {target!r:.60}")
    if isinstance(search, str | Path):
        raise TypeError(f"search is a list of directories, got {search!r:.60}; write [{search!r}]")
    options = Options(target, model, parameters or {}, tuple(search), _limits(limits))
    directory = None if output is None else Path(output)
    return compile_spec(path, output=directory, options=options).load().Model


def _limits(given: Mapping[str, int]) -> Limits:
    """The limits that `max_nodes` and its like ask for; TypeError for others."""
    from dataclasses import replace

    from cnnc.frontend import DEFAULT_LIMITS
    from cnnc.frontend.limits import SETTABLE

    for name, value in given.items():
        if name.removeprefix("max_") not in SETTABLE or not name.startswith("max_"):
            known = ", ".join(f"max_{limit}" for limit in SETTABLE)
            raise TypeError(f"compile() has no argument {name}; the limits are {known}")
        if not isinstance(value, int) or isinstance(value, bool):
            what = "an int, a number of bytes" if name == "max_memory" else "an int"
            raise TypeError(f"{name} is {what}, got {value!r:.60}")
        most = SETTABLE[name.removeprefix("max_")]
        if not 1 <= value <= most:
            raise ValueError(f"{name} is from 1 to {most:,}, got {value:,}")
    return replace(DEFAULT_LIMITS, **{k.removeprefix("max_"): v for k, v in given.items()})
