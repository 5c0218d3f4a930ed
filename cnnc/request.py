"""What a compilation is asked for -> the module that answered it before, with no stage run again.

The cache of modules goes by the source that was written for them; to write it takes longer than all
the rest of a command that finds it there. So the cache also notes which of its entries answered a
request, under a hash of everything that decides the answer: the text of the spec, the options, the
compiler, and all that cnnc itself consists of. What is imported is known only when the spec is
read, and so noted with the answer, and compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cnnc.codegen.build import Built, version_of
from cnnc.codegen.cache import Cache, make_key
from cnnc.codegen.delivery import find_built
from cnnc.codegen.python import find_python
from cnnc.codegen.toolchain import chosen_targets, find_compiler
from cnnc.diagnostics import CompileError, Source
from cnnc.ir.target import TARGETS, Target
from cnnc.options import Options
from cnnc.resources import PACKAGE, cache_directory, resource


@dataclass(frozen=True, slots=True)
class Answer:
    """The module `name` for `targets`, the most capable first, and where its files are."""

    name: str
    targets: tuple[Target, ...]
    built: Built


@dataclass(frozen=True, slots=True)
class Request:
    """A spec's text with options, on this machine. `suffix` is what its modules' files end with."""

    key: str
    suffix: str
    _imports: dict[str, list[str | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source, options: Options) -> Request | None:
        """The request; None for one that has no key: what is amiss is for the stages to say."""
        if options.choose is not None or _ITSELF is None:
            return None
        with suppress(CompileError, OSError, ValueError, TypeError):
            compiler = find_compiler()
            python = find_python(compiler)
            wanted = (
                (source.name, source.text),
                [os.path.realpath(path) for path in (Path(source.name).parent, *options.search)],
                (options.target, [target.name for target in chosen_targets(options.target)]),
                (options.model, sorted(options.parameters.items()), options.search, options.limits),
                (options.algorithm, options.profile, options.alone),
                None if options.tuning is None else options.tuning.text(),
            )
            flags = [compiler.flags(target) for target in chosen_targets(options.target)]
            built_with = (compiler.identity, repr(flags), python.version, python.suffix)
            return cls(make_key(_ITSELF, repr(wanted), *built_with), python.suffix)
        return None

    def looked(self, path: str) -> None:
        """Take down what is at the path of an import: a good answer needs the same again."""
        self._imports.setdefault(path, _contents(path))

    def find(self, output: Path | None) -> Answer | None:
        """The answer, its files left in `output` if that is given; None where there is none now.

        Raises CompileError where they cannot be left there.
        """
        try:
            noted = json.loads(Cache(cache_directory()).answer(self.key) or "null")
            name, entry = str(noted["name"]), str(noted["entry"])
            targets = tuple(TARGETS[target] for target in noted["targets"])
            if any(_contents(path) != was for path, was in noted["imports"].items()):
                return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None  # there is none, or it is damaged
        built = find_built(entry, name, targets, self.suffix, output)
        return None if built is None else Answer(name, targets, built)

    def note(self, answer: Answer) -> None:
        """Keep the answer, unless what it came from has changed meanwhile."""
        same = all(_contents(path) == was for path, was in self._imports.items())
        if not same or _itself() != _ITSELF:
            return
        noted = {
            "name": answer.name,
            "targets": [target.name for target in answer.targets],
            "entry": answer.built.key,
            "imports": self._imports,
        }
        Cache(cache_directory()).note_answer(self.key, json.dumps(noted, indent=1) + "\n")


def _contents(path: str) -> list[str | None]:
    """Where a path leads, and a hash of what is there; None for what is no file."""
    try:
        true = Path(path).resolve()
        digest = hashlib.sha256(true.read_bytes()).hexdigest() if true.is_file() else None
    except (OSError, RuntimeError, ValueError):
        return [path, None]
    return [str(true), digest]


def _itself() -> str | None:
    """A hash of the code that cnnc consists of and stands on; None where it cannot be read."""
    digest = hashlib.sha256(sys.version.encode())
    for package in ("cnnc", "cython", "jinja2", "lark", "numpy"):
        digest.update(f"{package} {version_of(package)}\n".encode())
    code = sorted(PACKAGE.rglob("*.py"))
    try:
        for path in (
            *code,
            *sorted(resource("grammar").iterdir()),
            *sorted(resource("templates").iterdir()),
        ):
            data = path.read_bytes()
            digest.update(f"{str(path)!r} {len(data)}\n".encode() + data)
    except OSError:
        return None
    return digest.hexdigest() if code else None


_ITSELF = _itself()
"""Taken when the process begins to compile: what runs in it was loaded from these files."""
