"""What is known of each pair of a batch: one JSON file, written atomically."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from optreg.io.files import make_folder, write_atomic

__all__ = ["Records", "discard_leftovers", "file_hash"]


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


class Records:
    """Folder with a record per pair.

    Parameters
    ----------
    folder : Path
        Made when it is missing.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """

    def __init__(self, folder: Path):
        self.folder = make_folder(folder)

    def path(self, name: str) -> Path:
        """File of a pair's record."""
        return self.folder / f"{name}.json"

    def read(self, name: str) -> dict[str, Any]:
        """Record of a pair; empty where there is none that can be read."""
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(self.path(name).read_text(encoding="utf-8"))
            if isinstance(content, dict):
                return content
        return {}

    def write(self, name: str, record: dict[str, Any]) -> None:
        """Replace the record of a pair.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        text = json.dumps(record, indent=1, allow_nan=False)
        write_atomic(self.path(name), [text.encode()], overwrite=True)


def discard_leftovers(folder: Path, names: set[str]) -> None:
    """Remove half-written files that a killed run has left for some file names of a folder.

    Only those of the given names: others may be in the making on another machine.
    """
    for part in folder.glob(".*.part"):
        if part.name[1:].rsplit(".", 2)[0] in names:
            with contextlib.suppress(OSError):
                part.unlink()
