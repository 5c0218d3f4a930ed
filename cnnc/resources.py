"""Where files lie: the grammar, templates and specs beside the code, and what is kept in a cache.

Turns names into paths. Does not read, list or check the files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import platformdirs

ResourceKind = Literal["grammar", "templates", "specs"]

PACKAGE = Path(__file__).resolve().parent
"""The directory of cnnc's own code."""


def resource(kind: ResourceKind, name: str = "") -> Path:
    """The path of `kind`/`name`; without a name, the directory.

    An installed wheel carries the directories inside the package, a checkout beside it.
    """
    inside = PACKAGE / kind
    directory = inside if inside.is_dir() else PACKAGE.parent / kind
    return directory / name


def cache_directory() -> Path:
    """$CNNC_CACHE_DIR, or the user's cache directory; it need not exist."""
    named = os.environ.get("CNNC_CACHE_DIR", "")
    return Path(named).absolute() if named else platformdirs.user_cache_path("cnnc")
