"""Reading and writing whole files without trusting them: sizes are checked before memory is taken,
and a result appears under its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError, OutputError

__all__ = [
    "check_folder_name",
    "check_readable",
    "check_writable",
    "file_ending",
    "fortran_pieces",
    "gzip_pieces",
    "largest_content",
    "make_folder",
    "new_file",
    "open_input",
    "read_exactly",
    "within_memory",
    "write_atomic",
]

# Deflate cannot shrink data by more than this factor, so a compressed file of n bytes that is said
# to hold more than n times this holds something else.
_DEFLATE_LIMIT = 1032
# Tags that other programs append after the voxels (FreeSurfer does) are read past to reach the
# checksum; more than this is not a trailer but a decompression bomb.
_LONGEST_TRAILER = 1 << 20

# What names of files end in that are read or written here, or that programs like this one write.
_ENDINGS = (
    *(".nii.gz", ".nii", ".img", ".hdr", ".mgh", ".mgz", ".mha", ".mhd", ".nrrd", ".nhdr", ".dcm"),
    *(".h5", ".hdf5", ".tfm", ".mat", ".txt", ".xfm", ".lta", ".npz", ".npy", ".csv", ".tsv"),
    *(".fcsv", ".json", ".toml", ".tex", ".html", ".png", ".jpg", ".pdf", ".svg", ".zip", ".gz"),
)

PathLike = str | os.PathLike[str]


def check_readable(path: PathLike) -> Path:
    """`path` as a Path, or the InputError that says why it cannot be opened for reading."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise InputError(f"{path}: the file is empty; copy or export it again")
    except FileNotFoundError as err:
        raise InputError(f"{path}: no such file; check the path") from err
    except IsADirectoryError as err:
        raise InputError(f"{path}: is a directory; name one file in it") from err
    except PermissionError as err:
        raise InputError(f"{path}: no permission to read it; change its access rights") from err
    except (OSError, ValueError) as err:  # ValueError: a zero byte in the name
        raise InputError(f"{path}: cannot be opened ({err}); check the path") from err
    return path


def largest_content(path: Path) -> int:
    """The most bytes that the (possibly compressed) file can hold."""
    return path.stat().st_size * _DEFLATE_LIMIT


@contextlib.contextmanager
def within_memory(path: PathLike) -> Iterator[None]:
    """Turn a lack of memory for what is in a file into an InputError."""
    try:
        yield
    except MemoryError as err:
        why = f" ({err})" if str(err) else ""
        raise InputError(f"{path}: does not fit into memory{why}; use a larger machine") from err


@contextlib.contextmanager
def open_input(path: PathLike) -> Iterator[IO[bytes]]:
    """Open a plain or gzipped file (told by content) and turn damage into an InputError.

    Everything read inside the ``with`` block is covered, so that a stream that breaks in the
    middle of the voxels is reported like one that breaks in the header.
    """
    path = check_readable(path)
    try:
        with open(path, "rb") as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if compressed:
                with gzip.open(raw, "rb") as stream:
                    yield stream  # type: ignore[misc]  # GzipFile is an IO[bytes] in all but name
            else:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise InputError(f"{path}: file damaged ({err}); copy or download it again") from err
    except OSError as err:
        raise InputError(f"{path}: cannot be read ({err}); check the disk") from err


def read_exactly(file: IO[bytes], path: Path, skip: int, size: int) -> NDArray[np.uint8]:
    """(size,) bytes of `file` from its position after `skip` more, then on to the checksum.

    Raises
    ------
    InputError
        The file cannot hold that much (found before any memory is taken), ends early, or goes on
        for long after it.
    """
    compressed = isinstance(file, gzip.GzipFile)
    limit = largest_content(path) if compressed else path.stat().st_size
    if skip + size > limit:
        raise InputError(
            f"{path}: header states {size} bytes of voxels but the file of {path.stat().st_size} "
            "bytes cannot hold them; file damaged or truncated, copy it again"
        )
    with within_memory(path):
        buffer = np.empty(size, np.uint8)
    view = memoryview(buffer)  # type: ignore[arg-type]
    while skip:
        got = len(file.read(min(skip, _LONGEST_TRAILER)))
        skip = skip - got if got else 0
    done = 0
    while done < size:
        got = file.readinto(view[done : done + (1 << 24)])  # type: ignore[attr-defined]
        if not got:
            raise InputError(
                f"{path}: file damaged, it ends after {done} of {size} bytes of voxels; copy it "
                "again"
            )
        done += got
    if compressed and len(file.read(_LONGEST_TRAILER)) == _LONGEST_TRAILER and file.read(1):
        raise InputError(f"{path}: file damaged, it goes on long after the voxels of the header")
    return buffer


def gzip_pieces(pieces: Iterable[bytes | memoryview], runs_only: bool) -> Iterator[bytes]:
    """One gzip stream of `pieces`, with no time stamp in it: equal data give equal files.

    `runs_only` is for floating-point voxels. Their low bits are noise in which deflate finds
    nothing but the runs of zeros outside the body; looking for runs alone takes a third of the
    time of level 1 at the same size.
    """
    strategy = zlib.Z_RLE if runs_only else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(1 if runs_only else 4, zlib.DEFLATED, 31, 9, strategy)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def file_ending(name: str) -> str:
    """What `name` ends in that only names of files end in, ``.nii.gz`` for example; else ""."""
    return next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")


def check_folder_name(path: PathLike) -> None:
    """Raise the OutputError of a folder to be made, at `path` or above, that has a file's name."""
    for folder in (Path(path), *Path(path).parents):
        if folder.exists():
            return
        if ending := file_ending(folder.name):
            raise OutputError(
                f"{folder}: would be a folder with the name of a file; name a folder, without "
                f"{ending}"
            )


def make_folder(path: PathLike) -> Path:
    """The folder at `path`, made with those above it where it is missing.

    Raises
    ------
    OutputError
        It cannot be made, nothing can be written there, or see `check_folder_name`.
    """
    path = Path(path)
    try:
        check_folder_name(path)
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"{path}: cannot be made ({err.strerror})") from err
    if not os.access(path, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: no permission to write there; choose another folder")
    return path


@contextlib.contextmanager
def new_file(path: PathLike, overwrite: bool) -> Iterator[IO[bytes]]:
    """Open a file for writing so that its name never shows a half-written one.

    What is written goes to a hidden file in the same folder, which takes the name at the end of
    the ``with`` block and is removed on any failure, an interrupt included.

    Raises
    ------
    OutputError
        Folder missing or read-only, disk full, `path` exists without `overwrite`, or is something
        that must not be replaced (a directory or device).
    """
    check_writable(path, overwrite)
    # Through a link, so that the link stays and the file it points to is replaced.
    target = Path(os.path.realpath(path))
    # The number of the process is not enough: in containers it is always the same.
    part = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as file:
            yield file
        os.replace(part, target)
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
    finally:
        _discard(part)


def write_atomic(path: PathLike, pieces: Iterable[bytes | memoryview], overwrite: bool) -> Path:
    """Write `pieces` to `path`, which shows all of them or nothing; as `new_file`."""
    with new_file(path, overwrite) as file:
        for piece in pieces:
            file.write(piece)
    return Path(path)


def check_writable(path: PathLike, overwrite: bool) -> None:
    """Raise the OutputError of `write_atomic` that can be known before the data exist."""
    path = Path(path)
    try:
        exists, regular = path.exists(), path.is_file()
        folder = Path(os.path.realpath(path)).parent.is_dir()
    except (OSError, ValueError) as err:
        raise OutputError(f"{path}: cannot be written ({err})") from err
    if exists and not regular:
        raise OutputError(f"{path}: is not a regular file; choose another name")
    if exists and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or allow overwriting")
    if not folder:
        raise OutputError(f"{path}: its folder does not exist; create it first")


def _discard(part: Path) -> None:
    # Gone because it was renamed, or never made because its folder refused: both are fine.
    with contextlib.suppress(OSError):
        part.unlink()


def fortran_pieces(data: NDArray[Any]) -> Iterator[bytes]:
    """The voxels of `data` in file order (first axis fastest), one plane of the last axis each."""
    for plane in np.moveaxis(data, -1, 0):
        yield plane.tobytes(order="F")
