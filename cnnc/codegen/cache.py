"""The cache of built extensions: a key -> a directory of files that never changes again.

An entry is filled under a temporary name and renamed into place, carries a manifest of its files'
sizes and hashes, and is rebuilt where it no longer matches. Knows nothing of compilers.

    <cache>/entries/<key>/    manifest.json and the files
    <cache>/locks/<key>.lock  held while an entry is built
    <cache>/work/             entries being filled
    <cache>/failed/<name>/    what the last failed build of a model left to look at
    <cache>/tuning/           what was measured of kernels, see cnnc.tuning
    <cache>/requests/<key>    which entry answers a request, see cnnc.request
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnc.codegen.files import write_file
from cnnc.codegen.toolchain import fail

if TYPE_CHECKING:
    from filelock import BaseFileLock

MANIFEST = "manifest.json"
REQUESTS = "requests"
SIZE_LIMIT = 512 * 2**20
"""Bytes above which entries go, the longest unused first."""
IN_USE_SECONDS = 3600
"""An entry used this recently may be about to be loaded, and stays whatever the size."""
ABANDONED_SECONDS = 24 * 3600
"""A work directory this old belongs to a build that was killed."""
ANSWER_SECONDS = 30 * 24 * 3600
"""An answer this old goes when something is built: to find it anew takes a second."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a cache holds."""

    path: Path
    entries: int
    bytes: int


def make_key(*parts: str) -> str:
    """A key from everything that a result depends on."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Cache:
    """A directory of entries. CompileError where it cannot be written."""

    root: Path

    def find(self, key: str) -> Path | None:
        """The entry of that key, checked; None where it is missing or damaged."""
        entry = self.root / "entries" / key
        if not _is_intact(entry):
            return None
        # The manifest's age says when an entry was last of use; a cache that cannot be written is
        # still good to read.
        with contextlib.suppress(OSError):
            os.utime(entry / MANIFEST)
        return entry

    def find_or_fill(self, key: str, fill: Callable[[Path], None]) -> tuple[Path, bool]:
        """The entry of that key, filled by `fill(directory)` where there is none.

        Says also whether it was there. Of several concurrent callers one fills; the rest wait.
        """
        entry = self.find(key)
        if entry is not None:
            return entry, True
        with self._guard(), self._lock(key):
            entry = self.find(key)
            if entry is not None:
                return entry, True
            with self._work_directory(key) as directory:
                fill(directory)
                entry = self._publish(directory, key)
            self._prune(keep=key)
        return entry, False

    def answer(self, request: str) -> str | None:
        """What was noted under the key of a request; None where nothing was, or none can tell."""
        try:
            return (self.root / REQUESTS / request).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def note_answer(self, request: str, answer: str) -> None:
        """Note it, where the cache can be written."""
        with contextlib.suppress(OSError):
            (self.root / REQUESTS).mkdir(parents=True, exist_ok=True)
            write_file(self.root / REQUESTS / request, answer.encode())

    def keep_failed(self, name: str, directory: Path) -> Path:
        """Keep the files of a failed build, in place of those of the model's last; say where."""
        kept = self.root / "failed" / name
        self._discard(kept)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(directory, kept, dirs_exist_ok=True)
        return kept

    def usage(self) -> Usage:
        """What the cache holds now."""
        sizes = [_size(path) for path in self._entries()]
        return Usage(self.root, len(sizes), sum(sizes))

    def clear(self) -> Usage:
        """Delete all entries and leftovers; say what was there."""
        before = self.usage()
        for room in ("entries", "failed", "templates", "tuning", REQUESTS):
            if (self.root / room).exists():
                self._discard(self.root / room)
        shutil.rmtree(self.root / "work", ignore_errors=True)
        return before

    def _entries(self) -> list[Path]:
        entries = self.root / "entries"
        return [path for path in entries.iterdir() if path.is_dir()] if entries.is_dir() else []

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn an operating system's refusal into a diagnostic."""
        try:
            yield
        except (OSError, NotImplementedError) as error:
            fail(
                "build-cache",
                f"cannot write the build cache {self.root}: {explain(error)}",
                help="free or repair it, or name another directory in CNNC_CACHE_DIR",
            )

    def _lock(self, key: str) -> BaseFileLock:
        from filelock import FileLock  # a hit needs no lock, and this import is a slow one

        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{key}.lock")

    @contextlib.contextmanager
    def _work_directory(self, key: str) -> Iterator[Path]:
        room = self.root / "work"
        room.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=f"{key[:16]}-", dir=room))
        try:
            yield directory
        finally:
            self._discard(directory)

    def _publish(self, directory: Path, key: str) -> Path:
        entry = self.root / "entries" / key
        entry.parent.mkdir(exist_ok=True)
        _write_manifest(directory)
        if entry.exists():  # damaged: a rename cannot replace a directory that is not empty
            self._discard(entry)
        directory.rename(entry)
        return entry

    def _prune(self, keep: str) -> None:
        now = time.time()
        with contextlib.suppress(OSError):
            for path in (self.root / "work").iterdir():
                if now - path.stat().st_mtime > ABANDONED_SECONDS:
                    self._discard(path)
        with contextlib.suppress(OSError):
            for path in (self.root / REQUESTS).iterdir():
                if now - path.stat().st_mtime > ANSWER_SECONDS:
                    path.unlink()
        aged = sorted((_last_use(path), path) for path in self._entries() if path.name != keep)
        total = self.usage().bytes
        for last_use, path in aged:
            if total <= SIZE_LIMIT or now - last_use < IN_USE_SECONDS:
                return
            total -= _size(path)
            self._discard(path)
            (self.root / "locks" / f"{path.name}.lock").unlink(missing_ok=True)

    def _discard(self, directory: Path) -> None:
        """Delete a directory; out of sight first, so that nobody meets half of it."""
        doomed = self.root / "work" / f"{directory.name}.{os.getpid()}.gone"
        with contextlib.suppress(OSError):
            doomed.parent.mkdir(parents=True, exist_ok=True)
            directory.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)


def explain(error: BaseException) -> str:
    """An error in the operating system's words, without its number and Python's wrapping."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _write_manifest(directory: Path) -> None:
    files = {
        path.name: [path.stat().st_size, _hash(path)]
        for path in sorted(directory.iterdir())
        if path.is_file()
    }
    (directory / MANIFEST).write_text(json.dumps({"files": files}, indent=1) + "\n")


def _is_intact(entry: Path) -> bool:
    try:
        files = json.loads((entry / MANIFEST).read_text())["files"]
        return all(
            (entry / name).stat().st_size == size and _hash(entry / name) == digest
            for name, (size, digest) in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _size(directory: Path) -> int:
    try:
        return sum(path.stat().st_size for path in directory.iterdir())
    except OSError:
        return 0  # deleted meanwhile


def _last_use(entry: Path) -> float:
    try:
        return (entry / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0
