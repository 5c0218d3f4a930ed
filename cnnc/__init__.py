"""cnnc compiles a description of a convolutional network to a Cython extension module."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from cnnc.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cnnc.limits import Limits
    from cnnc.options import Options

__all__ = ["__version__", "compile"]


def compile(  # noqa: A001 - the verb of this package
    path: str | Path,
    output: str | Path | None = None,
    target: str | None = None,
    *,
    model: str | None = None,
    parameters: Mapping[str, float] | None = None,
    search: Iterable[str | Path] = (),
    tune: float | bool = False,
    tuning: str | Path | None = None,
    **limits: int,
) -> Any:
    """The Model class of a compiled spec file.

    `model`, or a path such as `heads.cnn:small`, chooses one of several in the file; `parameters`
    sets the model's parameters. With `output`, the extension, its source and its stub are left in
    that directory. `target` is a name such as `x86-64-v3`, or several with commas between them, of
    which the module chooses when it is imported; by default the build machine's. `search` are
    directories, besides the spec's own, from which it may import. `tune` measures first, for about
    so many seconds (True: 60), which algorithm and tiles of each kernel are the fastest here, for
    every target that this machine can run; `tuning` takes them from a file that `cnnc compile
    --tune` left. A UserWarning names each target of which neither says anything. `limits` are those
    of cnnc.limits.Limits with max_ before them: max_nodes, max_parameters, max_memory (bytes of the
    activations of a sample), max_depth; each is an int. Raises TypeError for an argument of another
    type, ValueError for a limit or a time out of range, and cnnc.diagnostics.CompileError for a
    spec or a tuning that cannot be read or is wrong, and for a build that fails.
    """
    # Imported here: `import cnnc.runtime` must not load the compiler.
    from collections.abc import Mapping
    from pathlib import Path

    from cnnc.compiler import compile_spec
    from cnnc.options import Options

    if parameters is not None and not isinstance(parameters, Mapping):
        raise TypeError(f"parameters is a dict of numbers by name, got {parameters!r:.60}")
    if target is not None and not isinstance(target, str):
        raise TypeError(f"target is a str such as 'x86-64-v2,x86-64-v3', got {target!r:.60}")
    if isinstance(search, str | Path):
        raise TypeError(f"search is a list of directories, got {search!r:.60}; write [{search!r}]")
    options = Options(target, model, parameters or {}, tuple(search), _limits(limits))
    options = _tuned(path, options, tune, tuning)
    directory = None if output is None else Path(output)
    return compile_spec(path, output=directory, options=options).load().Model


def _tuned(
    path: str | Path, options: Options, tune: float | bool, tuning: str | Path | None
) -> Options:
    """The options with what is measured now, or was before; warns of what that leaves out."""
    import warnings
    from dataclasses import replace

    if not isinstance(tune, int | float):
        raise TypeError(f"tune is a number of seconds, or True, got {tune!r:.60}")
    if tuning is not None and not isinstance(tuning, str | PathLike):
        raise TypeError(f"tuning is a file's path, got {tuning!r:.60}")
    if not 0 <= tune < float("inf"):
        raise ValueError(f"tune is a number of seconds, got {tune}")
    if tune and tuning is not None:
        raise ValueError("tune measures, tuning takes what was measured: give one of them")
    if tuning is not None:
        from cnnc.tuning import read_tuning

        found = read_tuning(tuning)
    elif tune:
        from cnnc.measure.tune import SECONDS
        from cnnc.measure.tune import tune as measure

        found = measure(path, options, SECONDS if tune is True else tune)
    else:
        return options
    from cnnc.codegen.toolchain import chosen_targets

    targets = chosen_targets(options.target)
    found.check_targets(targets)
    for each in found.warnings(targets):
        warnings.warn(each.message, stacklevel=3)
    return replace(options, tuning=found)


def _limits(given: Mapping[str, int]) -> Limits:
    """The limits that `max_nodes` and its like ask for; TypeError for others."""
    from dataclasses import replace

    from cnnc.limits import DEFAULT_LIMITS, SETTABLE

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
