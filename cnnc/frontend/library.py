"""Library: a spec and the files that it imports -> what each file's names stand for.

Reads no file outside the spec's directory and the search path. Expands no block.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cnnc.diagnostics import CompileError, Source, Span
from cnnc.frontend import spec as s
from cnnc.frontend.evaluator import Evaluator
from cnnc.frontend.names import check_name
from cnnc.frontend.parser import parse
from cnnc.frontend.report import RefusedError, Report, on_line
from cnnc.frontend.values import Setting
from cnnc.frontend.walk import bindings, chains, has_result
from cnnc.limits import Limits
from cnnc.sources import read_source


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A block and the file whose names it sees."""

    definition: s.BlockDefinition
    library: Library


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """A file's blocks and settings, its own and those that it imports."""

    spec: s.Spec
    own: dict[str, Span] = field(default_factory=dict)
    """Names of this file alone: what another one gets that imports it."""
    blocks: dict[str, Block] = field(default_factory=dict)
    settings: dict[str, Setting] = field(default_factory=dict)
    failed: list[s.ImportStatement] = field(default_factory=list)
    """Imports that gave nothing: a name that is not there may be from them."""

    def place(self, name: str) -> Span | None:
        """Where a name is given; None for one that is free."""
        if name in self.blocks:
            return self.blocks[name].definition.name.span
        return self.settings[name].span if name in self.settings else None


class Loader:
    """Reads a spec's imports, each file once; `looked` is told before it looks for a file."""

    def __init__(
        self,
        report: Report,
        limits: Limits,
        search: Sequence[str | Path],
        looked: Callable[[str], None],
    ) -> None:
        self._report = report
        self._limits = limits
        self._search = [Path(directory) for directory in search]
        self._looked = looked
        self._roots: list[Path] = []
        self._open: list[tuple[Path, Source]] = []
        """The files between the spec and the one that is read now, with their true paths."""
        self._loaded: dict[Path, Library | None] = {}
        self._importers: dict[str, Span] = {}

    def load(self, spec: s.Spec) -> Library:
        """The names of a spec. What is wrong with its imports is reported."""
        path = Path(spec.source.name)
        self._roots = [_true_path(directory) for directory in (path.parent, *self._search)]
        self._report.imported(spec.source, "")
        return self._define(spec, _true_path(path))

    def blocks(self) -> Iterator[Block]:
        """Every block that was read."""
        libraries = [library for library in self._loaded.values() if library is not None]
        for library in libraries:
            yield from (b for b in library.blocks.values() if b.library is library)

    def _define(self, spec: s.Spec, path: Path) -> Library:
        library = Library(spec)
        self._loaded[path] = library
        self._open.append((path, spec.source))
        for statement in spec.imports:
            library.failed.append(statement)
            with suppress(RefusedError):
                self._import(library, statement)
                library.failed.pop()
        self._open.pop()
        for block in spec.blocks:
            self._block(library, block)
        evaluator = Evaluator(self._report, self._limits, library.settings)
        for let in spec.lets:
            check_name(let.name, "parameter", self._report, self._limits)
            value = None
            with suppress(RefusedError):
                value = evaluator.constant(let.value)
            if self._free(library, let.name):
                library.settings[let.name.text] = Setting(value, let.span)
        return library

    def _block(self, library: Library, block: s.BlockDefinition) -> None:
        check_name(block.name, "block", self._report, self._limits)
        names: set[str] = set()
        for parameter in block.parameters:
            check_name(parameter.name, "parameter", self._report, self._limits)
            if parameter.name.text in names:
                message = f"two parameters are called {parameter.name}"
                self._report.error("duplicate-name", message, parameter.name.span)
            names.add(parameter.name.text)
        if not any(True for _ in chains(block.body)):
            message = f"block {block.name} has no layers"
            self._report.error("empty-model", message, block.name.span)
        elif not has_result(block.body):
            self._report_no_result(block)
        if self._free(library, block.name):
            library.blocks[block.name.text] = Block(block, library)

    def _report_no_result(self, block: s.BlockDefinition) -> None:
        name = [name for statement in bindings(block.body) for name in statement.names][-1]
        message = f"block {block.name} has no result: its last chain without a name would be it"
        note = f"{name} is bound, and nothing else is made"
        help = f"write the chain without {name} =, or end the block with {name}"
        self._report.error("bad-output", message, name.span, notes=(note,), help=help)

    def _free(self, library: Library, name: s.Identifier) -> bool:
        """Take a name of the file; False after reporting that it is taken."""
        first = library.place(name.text)
        if first is not None:
            note = f"it is first given {on_line(first, name.span.source)}"
            message = f"the name {name} is given twice"
            self._report.error("duplicate-name", message, name.span, notes=(note,))
            return False
        library.own[name.text] = name.span
        return True

    def _import(self, library: Library, statement: s.ImportStatement) -> None:
        """Add the blocks and settings of another file."""
        path, name = self._find(library.spec.source, statement)
        if path in (opened for opened, _ in self._open):
            raise self._cycle(path, statement)
        if path not in self._loaded:
            self._loaded[path] = None
            self._read(path, name, statement)
        other = self._loaded[path]
        if other is None:
            raise RefusedError
        for given in other.own:
            first, second = library.place(given), other.own[given]
            if first is not None and first != second:
                places = " and ".join(
                    on_line(span, statement.span.source) for span in (first, second)
                )
                message = f"{given} is imported twice: it is given {places}"
                self._report.error("duplicate-name", message, statement.span)
            elif given in other.blocks:
                library.blocks[given] = other.blocks[given]
            else:
                library.settings[given] = other.settings[given]

    def _read(self, path: Path, name: str, statement: s.ImportStatement) -> None:
        if len(self._loaded) > self._limits.files + 1:
            message = f"a spec imports at most {self._limits.files} files"
            raise self._report.refuse("too-large", message, statement.span)
        try:
            text = read_source(path).text
        except CompileError:
            message = f"cannot read {name}: it is no UTF-8 text, or may not be read"
            raise self._report.refuse("bad-import", message, statement.path.span) from None
        source = Source(name, text)
        self._importers[name] = statement.span
        self._report.imported(source, self._origin(statement))
        try:
            self._define(parse(source, self._limits), path)
        except CompileError as error:
            for found in error.diagnostics:
                self._report.error(
                    found.code, found.message, found.span, notes=found.notes, help=found.help
                )

    def _origin(self, statement: s.ImportStatement) -> str:
        """Who imports a file, up to the spec itself."""
        places, here = [], statement.span
        places.append(f"{here.source.name}:{here.line}")
        while here.source.name in self._importers:
            here = self._importers[here.source.name]
            places.append(f"{here.source.name}:{here.line}")
        return f"this file is imported at {', from '.join(places)}"

    def _cycle(self, path: Path, statement: s.ImportStatement) -> RefusedError:
        start = next(i for i, (opened, _) in enumerate(self._open) if opened == path)
        names = [source.name for _, source in self._open[start:]]
        circle = " -> ".join((*names, names[0]))
        message = f"these files import each other: {circle}"
        help = "put what both need into a third file"
        return self._report.refuse("import-cycle", message, statement.span, help=help)

    def _find(self, importer: Source, statement: s.ImportStatement) -> tuple[Path, str]:
        """The true path of an imported file, and what messages call it."""
        wanted, span = statement.path.value, statement.path.span
        if not wanted or Path(wanted).is_absolute():
            message = "an import is the path of a file, relative to the file that it stands in"
            raise self._report.refuse("bad-import", message, span)
        outside = False
        directories = (Path(importer.name).parent, *self._search)
        for directory in directories:
            name = os.path.normpath(directory / wanted)
            self._looked(name)
            path = _true_path(Path(name))
            if not any(root in path.parents for root in self._roots):
                outside = True
            elif _is_file(path):
                self._check_size(path, name, span)
                return path, name
        if outside:
            message = f"{wanted} leads out of the spec's directory and the search path"
            help = "a further directory is added by -I DIRECTORY"
        else:
            message = f"there is no file {wanted} to import"
            places = ", ".join(map(str, directories))
            help = f"looked for in {places}; a further directory is added by -I DIRECTORY"
        raise self._report.refuse("bad-import", message, span, help=help)

    def _check_size(self, path: Path, name: str, span: Span) -> None:
        """Refuse a file before reading it whole that is too long to be a spec."""
        if path.stat().st_size > 4 * self._limits.characters:
            message = f"{name} has more than {self._limits.characters:,} characters"
            raise self._report.refuse("too-large", message, span)


def _true_path(path: Path) -> Path:
    """The path without symbolic links; one that no file can have stays as it is."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return path


def _is_file(path: Path) -> bool:
    """Whether it is a plain file: no device or pipe, reading of which may never end."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
