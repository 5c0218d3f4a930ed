"""Files: what the caller calls a spec -> its text, and which of its models is meant."""

from __future__ import annotations

from pathlib import Path

from cnnc.diagnostics import CompileError, Diagnostic, Source


def read_source(path: str | Path) -> Source:
    """A spec file as a Source. Raises CompileError where it is no readable UTF-8 text."""
    try:
        # open() refuses an embedded null character with ValueError
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8 text"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    else:
        return Source(str(path), text)
    message = f"cannot read {path}: {reason}"
    raise CompileError([Diagnostic("unreadable-file", message, None, file=str(path))])


def split_model(spec: str | Path) -> tuple[str, str | None]:
    """`file.cnn:name` -> the file and the model; a file that has that very name comes first."""
    text = str(spec)
    path, colon, name = text.rpartition(":")
    if not colon or not name.isidentifier() or not path or _exists(text):
        return text, None
    return (path, name) if path.endswith(".cnn") or _exists(path) else (text, None)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False
