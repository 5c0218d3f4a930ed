"""Where the files beside the code lie: the grammar, the templates and the example specs.

Turns a kind and a name into a path. Does not read, list or check the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

ResourceKind = Literal["grammar", "templates", "specs"]

_PACKAGE = Path(__file__).resolve().parent


def resource(kind: ResourceKind, name: str = "") -> Path:
    """The path of `kind`/`name`; without a name, the directory.

    An installed wheel carries the directories inside the package, a checkout beside it.
    """
    inside = _PACKAGE / kind
    directory = inside if inside.is_dir() else _PACKAGE.parent / kind
    return directory / name
