"""safetensors files, taken apart and put together: 8 bytes of length, JSON, the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def split_file(path: Path) -> tuple[dict[str, Any], bytes]:
    """A file's header and data."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def join_file(path: Path, header: Any, body: bytes) -> Path:
    """Write a header, as it is or as JSON, and data; returns the path."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path
