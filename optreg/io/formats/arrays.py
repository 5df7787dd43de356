"""One array in an .npz or .npy file: read with suspicion, written piece by piece."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError, OutputError
from optreg.io.files import PathLike, largest_content, write_atomic

__all__ = ["NUMPY", "PLAIN", "POSITIONS", "read_array", "read_note", "write_array"]

NUMPY = (".npz", ".npy")
"""Endings of the files that are read and written here."""

PLAIN = "arr_0"
"""Name of an array in an .npz file to which none is given, as NumPy has it."""
POSITIONS = {"torch": "align_corners_false", "torch-aligned": "align_corners_true"}
"""Formats of positions, and the names of their arrays in an .npz file."""


def read_array(path: Path, name: str = PLAIN) -> NDArray[Any]:
    """The array of a .npy file, or of an .npz file that holds only one.

    Parameters
    ----------
    path : Path
    name : str
        Of the array, as `write_array` was given it; others but those of other formats will do.

    Raises
    ------
    InputError
        Damaged, several arrays, an array of another format, a size the file cannot hold, or values
        that are not real.
    """
    try:
        if path.name.lower().endswith(".npy"):
            with path.open("rb") as file:
                _check_header(file, path.stat().st_size)
                file.seek(0)
                values = np.lib.format.read_array(file, allow_pickle=False)
        else:
            values = _read_npz(path, name)
    except InputError:
        raise
    # A damaged archive can fail in any layer of zipfile, zlib and numpy, each with its own errors.
    except Exception as err:
        kind = "an .npz" if path.name.lower().endswith(".npz") else "a .npy"
        raise InputError(f"file damaged or not {kind} field ({err})") from err
    if values.dtype.kind not in "iuf":
        raise InputError(f"values of type {values.dtype}; real numbers are needed")
    return values


def read_note(path: Path) -> str:
    """What `write_array` was given as `note`; empty where there is nothing."""
    with suppress(Exception), zipfile.ZipFile(path) as archive:
        return archive.comment.decode(errors="replace")
    return ""


def write_array(
    path: PathLike,
    array: NDArray[Any],
    overwrite: bool,
    name: str = PLAIN,
    note: str = "",
) -> Path:
    """Write an array as .npz (compressed, under `name`) or .npy.

    `note` is kept in the .npz file as the comment of the archive, which NumPy passes over.

    Raises
    ------
    OutputError
        Another ending, or see `optreg.io.files.write_atomic`.
    """
    file = str(path).lower()
    if not file.endswith(NUMPY):
        raise OutputError(f"{path}: format of NumPy; end the name in .npz or .npy")
    pieces = _npz_pieces(array, name, note) if file.endswith(".npz") else _npy_pieces(array)
    return write_atomic(path, pieces, overwrite)


def _read_npz(path: Path, name: str) -> NDArray[Any]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) != 1:
            raise InputError(f"holds {len(members)} arrays; one is needed")
        found = members[0].filename.removesuffix(".npy")
        for format, other in POSITIONS.items():
            if found == other != name:
                raise InputError(
                    f"is a grid of torch ({found}); name its format, {format} (optreg convert "
                    f"--from {format}, or read_transform with format='{format}')"
                )
        with archive.open(members[0]) as file:
            _check_header(file, largest_content(path))
        with archive.open(members[0]) as file:
            return np.lib.format.read_array(file, allow_pickle=False)


def _check_header(file: IO[bytes], largest: int) -> None:
    """NumPy reserves what the header asks for before it looks at the values."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read_header(file)
    if math.prod(shape) * dtype.itemsize > largest:
        raise InputError(f"header states shape {shape}; the file cannot hold that, damaged")


class _Collector:
    """Write-only file; what was written is taken away piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self.pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> bytes:
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)


def _npy_pieces(array: NDArray[Any]) -> Iterator[bytes]:
    sink = _Collector()
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(sink, header)  # type: ignore[arg-type]
    yield sink.taken()
    for part in array:
        yield part.tobytes()


def _npz_pieces(array: NDArray[Any], name: str, note: str) -> Iterator[bytes]:
    sink = _Collector()
    # Not numpy.savez_compressed: level 6 takes three times as long for 2 % of the size, and the
    # time stamp makes equal fields different files.
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:  # type: ignore[call-overload]
        archive.comment = note.encode()
        entry = zipfile.ZipInfo(f"{name}.npy")
        entry.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as file:
            for piece in _npy_pieces(array):
                file.write(piece)
                yield sink.taken()
    yield sink.taken()
