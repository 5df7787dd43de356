"""Files read and written by SimpleITK: MetaImage, NRRD and transforms."""

from __future__ import annotations

import errno
import math
import os
import re
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError, OutputError
from optreg.io.files import PathLike, check_readable, check_writable, largest_content
from optreg.transform.itk import lps_to_affine

__all__ = ["quiet_itk", "read_itk", "save_with_itk"]

_STDERR = threading.RLock()

_LONGEST_HEADER = 1 << 16


def read_itk(path: PathLike) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Read a .mha or .nrrd file.

    Returns
    -------
    array : (X, Y, Z) ndarray, Z = 1 for a slice, further axes after them; channels last
    affine : (4, 4) ndarray
        Voxel to RAS mm.

    Raises
    ------
    InputError
        Damaged, voxels in another file, fewer than two axes, or voxels that are not real.
    """
    import SimpleITK as sitk

    path = check_readable(path)
    voxels = _attached_voxels(path)
    with quiet_itk(path):
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.SetImageIO("NrrdImageIO" if path.suffix.lower() == ".nrrd" else "MetaImageIO")
        reader.ReadImageInformation()
        shape, channels = reader.GetSize(), reader.GetNumberOfComponents()
        kind = sitk.GetPixelIDValueAsString(reader.GetPixelIDValue())
        if len(shape) < 2:
            raise InputError(f"{path}: image of {len(shape)} dimensions; 3 or 2 are needed")
        if min(shape) < 1:
            raise InputError(f"{path}: header states impossible dimensions {shape}; file damaged")
        bits = re.search(r"(\d+)-bit", kind)
        if bits is None or "complex" in kind or "label" in kind:
            raise InputError(f"{path}: voxels are {kind}; convert them to one real number a voxel")
        size = math.prod(shape) * channels * int(bits[1]) // 8
        # SimpleITK reserves the memory that the header asks for before it looks at the voxels.
        if size > largest_content(path):
            raise InputError(
                f"{path}: header states {'x'.join(map(str, shape))} voxels, which a file of "
                f"{path.stat().st_size} bytes cannot hold; file damaged or truncated"
            )
        _check_stream(path, voxels, size)
        image = reader.Execute()
    values = sitk.GetArrayFromImage(image)
    spatial = tuple(range(len(shape)))[::-1]
    array = np.ascontiguousarray(values.transpose(*spatial, *range(len(shape), values.ndim)))
    if len(shape) == 2:  # a slice; channels stay the last axis
        array = array[:, :, np.newaxis]
        image = sitk.JoinSeries(image)
    return array, lps_to_affine(image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def save_with_itk(
    path: PathLike, save: Callable[[str], None], overwrite: bool, least_bytes: int
) -> Path:
    """Let SimpleITK write a file that takes its name only when it is complete.

    Parameters
    ----------
    path : path
        Its ending is what SimpleITK chooses the format by.
    save : callable
        Writes to the path it is given.
    overwrite : bool
        Replace an existing file.
    least_bytes : int
        There is room for so many before SimpleITK begins, and a file that is shorter in the end is
        not complete, whatever SimpleITK says.

    Raises
    ------
    OutputError
        See `optreg.io.files.write_atomic`; or SimpleITK fails.
    """
    check_writable(path, overwrite)
    # Through a link, so that the link stays and the file it points to is replaced.
    target = Path(os.path.realpath(path))
    try:
        # In the same folder, from which alone a file can be renamed into place.
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            draft = Path(folder) / f"draft{target.suffix.lower()}"
            _require_room(draft, least_bytes)
            with quiet_itk(path):
                save(str(draft))
            if draft.stat().st_size < least_bytes:
                raise OutputError(f"{path}: cannot be written, the disk may be full")
            os.replace(draft, target)
    except InputError as err:  # what quiet_itk makes of ITK's exceptions
        raise OutputError(f"{path}: cannot be written, the disk may be full") from err
    except OSError as err:
        raise OutputError(f"{path}: cannot be written ({err.strerror or err})") from err
    return Path(path)


def _require_room(path: Path, size: int) -> None:
    """Raise the OSError of a disk that has no room for `size` bytes.

    HDF5 that fails to write tries once more when the process ends, and crashes it.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("xb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as err:
            if err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            # Others mean that the file system cannot tell.
    path.unlink()


@contextmanager
def quiet_itk(path: PathLike) -> Iterator[None]:
    """Turn ITK's exceptions into one-sentence InputErrors and keep its messages off stderr."""
    import SimpleITK as sitk

    loud = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with _quiet_stderr():
            yield
    except UnicodeDecodeError as err:  # of the message, which quotes the damaged bytes
        raise InputError(f"{path}: file damaged or not what its name says") from err
    except RuntimeError as err:
        # The last line of an ITK message is the finding; the rest is C++ source positions.
        lines = [line.strip() for line in str(err).splitlines() if line.strip()]
        finding = (
            re.sub(r"^.*(?:ERROR|Error):\s*(?:\w+\(\w+\):\s*)?", "", lines[-1])
            if lines
            else "no reason given"
        )
        finding = finding.replace(str(path), "the file")
        raise InputError(f"{path}: file damaged or not what its name says ({finding})") from err
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(loud)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """HDF5 and MetaIO write to the terminal on their own, past Python and past ITK."""
    # One thread at a time: the second would keep, and put back, what the first has put there.
    with _STDERR:
        try:
            kept = os.dup(2)
        except OSError:  # a program without a terminal may have closed it
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


@dataclass(frozen=True)
class _Attached:
    """Where the voxels begin in the file, and whether they are plain or compressed."""

    offset: int
    raw: bool
    deflated: bool


def _attached_voxels(path: Path) -> _Attached:
    """Refuse a header that sends the reader to another file, which may be any file at all."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    if path.suffix.lower() == ".nrrd":
        end = re.search(rb"\r?\n\r?\n", start)
        head = start[: end.start()] if end else start
        local = end and not re.search(rb"^data ?file *:", head, re.MULTILINE | re.IGNORECASE)
        encoding = re.search(rb"^encoding: *(\w+)", head, re.MULTILINE | re.IGNORECASE)
        word = encoding[1].lower() if encoding else b""
        raw, deflated = word == b"raw", word in (b"gz", b"gzip")
    else:
        # The first one counts: what follows it is voxels.
        end = re.search(rb"^ElementDataFile\s*=\s*(\S+)[^\n]*\n", start, re.MULTILINE)
        local = end and end[1] == b"LOCAL"
        head = start[: end.start()] if end else start
        # MetaIO has room for ten axes and writes past it if the header states more, be it in a
        # second line.
        stated = re.findall(rb"^NDims\s*=\s*[1-9]\s*$", head, re.MULTILINE)
        if len(stated) != 1 or head.count(b"NDims") != 1:
            raise InputError(f"{path}: file damaged or not a MetaImage (no usable NDims)")
        deflated = bool(re.search(rb"^CompressedData\s*=\s*[Tt]", head, re.MULTILINE))
        raw = not deflated and not re.search(rb"^BinaryData\s*=\s*[Ff]", head, re.MULTILINE)
    if end is None:
        raise InputError(f"{path}: file damaged or not what its name says (no end of the header)")
    if not local:
        raise InputError(f"{path}: its voxels are in another file; save it as one file")
    return _Attached(end.end(), raw, deflated)


def _check_stream(path: Path, voxels: _Attached, size: int) -> None:
    """Raise unless the `size` bytes of voxels are all there and undamaged.

    Of a compressed stream that breaks, ITK prints "Uncompress failed" and hands out whatever the
    memory holds, or it ignores the checksum, depending on the format.
    """
    short = f"{path}: file damaged, its voxels are incomplete; copy it again"
    if voxels.raw and path.stat().st_size - voxels.offset < size:
        raise InputError(short)
    if not voxels.deflated:
        return
    unpacker, total = zlib.decompressobj(47), 0
    try:
        with path.open("rb") as file:
            file.seek(voxels.offset)
            while total <= size and not unpacker.eof and (piece := file.read(1 << 16)):
                total += len(unpacker.decompress(piece))
    except zlib.error as err:
        raise InputError(f"{path}: file damaged ({err}); copy or download it again") from err
    if total != size or not unpacker.eof:
        raise InputError(short)
