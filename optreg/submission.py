"""Submissions of the LUMIR / Learn2Reg challenge: making them, and saying what is wrong with one.

A submission is ``NAME.zip`` with one folder that holds a field ``disp_FFFF_MMMM.nii.gz`` for every
pair: float32, ``(X, Y, Z, 3)`` or ``(3, X, Y, Z)``, voxels.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from optreg.errors import InputError
from optreg.io import write_field
from optreg.io.datasets import Dataset
from optreg.io.files import check_readable, new_file
from optreg.io.nifti import read_nifti, read_shape
from optreg.metrics.folding import count_folds

__all__ = [
    "check_field",
    "check_submission",
    "field_file",
    "fill_with_zeros",
    "pack",
    "require_fields",
]

_SLACK = 1 << 20
"""Bytes by which a compressed field may be larger than its voxels."""


def pack(folder: Path, names: list[str], target: Path, overwrite: bool = False) -> None:
    """Zip some files of a folder, below the folder's name; the zip appears when it is complete.

    Raises
    ------
    OutputError
        It exists, or cannot be written.
    """
    # The fields are compressed already.
    with (
        new_file(target, overwrite) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name in sorted(names):
            archive.write(folder / name, f"{folder.name}/{name}")


def fill_with_zeros(dataset: Dataset, folder: Path) -> list[str]:
    """Write zero fields for the pairs that have no file in a folder; their file names.

    Raises
    ------
    InputError
        The shape of a pair is neither stated nor in its fixed image's header.
    """
    filled = []
    for pair in dataset.pairs:
        target = folder / pair.file_name
        if target.exists():
            continue
        shape = dataset.shape or read_shape(pair.fixed)
        if shape is None:
            raise InputError(f"{pair.fixed}: its shape is not known; convert it to NIfTI")
        write_field(target, np.zeros((3, *shape[:3]), np.float32), None)
        filled.append(pair.file_name)
    return filled


def check_submission(source: Path, dataset: Dataset, *, allow_folds: bool = False) -> list[str]:
    """Everything that is wrong with a submission.

    Parameters
    ----------
    source : Path
        The zip, or the folder that will be in it.
    dataset : Dataset
        What it is a submission for.
    allow_folds : bool
        Folded fields are valid in the challenge, where they cost points; here they count as a
        finding unless this is set.

    Returns
    -------
    list of str
        One sentence each; none for a submission that is as it should be.

    Raises
    ------
    InputError
        `source` cannot be read at all.
    """
    shapes = {p.file_name: dataset.shape or read_shape(p.fixed) for p in dataset.pairs}
    if not source.is_dir():
        with _opened(source) as archive:
            return _zip(archive, shapes, allow_folds)
    found = {p.name: p for p in source.iterdir() if not p.name.startswith(".")}
    findings = _names(shapes.keys(), found.keys())
    for name in sorted(shapes.keys() & found.keys()):
        findings += _field(found[name], name, shapes[name], allow_folds)
    return findings


def check_field(path: Path, shape: tuple[int, ...] | None) -> list[str]:
    """Everything that is wrong with the file of one field; folds cost points and are allowed.

    Parameters
    ----------
    path : Path
    shape : tuple of int, optional
        Of the images.
    """
    return _field(path, path.name, shape, allow_folds=True)


def require_fields(source: Path, dataset: Dataset) -> None:
    """Raise unless a folder or zip has a field for every pair, wherever in the zip they are.

    Raises
    ------
    InputError
        Some are missing, or `source` cannot be read.
    """
    missing = sorted({pair.file_name for pair in dataset.pairs} - _names_in(source))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{source}: holds no {missing[0]}{more}; every pair needs its field")


def _names_in(source: Path) -> set[str]:
    if source.is_dir():
        return {p.name for p in source.iterdir()}
    with _opened(source) as archive:
        return set(_by_name(archive))


@contextmanager
def field_file(source: Path, name: str) -> Iterator[Path]:
    """The file of one field of a folder or zip; of a zip, unpacked for as long as it is used.

    Raises
    ------
    InputError
        It is not there, or damaged.
    """
    if source.is_dir():
        yield source / name
        return
    with _opened(source) as archive:
        members = _by_name(archive)
        if name not in members:
            raise InputError(f"{source}: holds no {name}")
        with _unpacked(archive, members[name]) as path:
            try:
                yield path
            except InputError as error:
                # The file that was unpacked is gone when this is read.
                raise type(error)(str(error).replace(str(path), f"{source}: {name}")) from error


@contextmanager
def _opened(source: Path) -> Iterator[zipfile.ZipFile]:
    check_readable(source)
    try:
        archive = zipfile.ZipFile(source)
    # Damage can show in any layer of zipfile, each with its own errors.
    except Exception as error:
        raise InputError(f"{source}: is no zip that can be read ({error})") from error
    with archive:
        yield archive


def _by_name(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {PurePosixPath(i.filename).name: i for i in archive.infolist() if not _is_folder(i)}


def _is_folder(info: zipfile.ZipInfo) -> bool:
    # `ZipInfo.is_dir` fails where there is no name at all.
    return info.filename.endswith("/")


def _zip(
    archive: zipfile.ZipFile, shapes: Mapping[str, tuple[int, ...] | None], allow_folds: bool
) -> list[str]:
    members, findings = _members(archive)
    findings += _names(shapes.keys(), members.keys())
    for name in sorted(shapes.keys() & members.keys()):
        shape = shapes[name]
        limit = 12 * int(np.prod(shape[:3])) + _SLACK if shape else 1 << 34
        if members[name].file_size > limit:
            findings.append(f"{name}: {members[name].file_size} bytes, too large for a field")
            continue
        try:
            with _unpacked(archive, members[name]) as path:
                findings += _field(path, name, shape, allow_folds)
        except InputError as error:
            findings.append(str(error))
    return findings


def _members(archive: zipfile.ZipFile) -> tuple[dict[str, zipfile.ZipInfo], list[str]]:
    """Files by name, and what is wrong with where they are."""
    members: dict[str, zipfile.ZipInfo] = {}
    findings, folders = [], set()
    for info in archive.infolist():
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in info.filename:
            findings.append(f"{info.filename}: leads out of the archive")
        # Hidden files, which file managers leave behind, are no part of a folder either.
        elif _is_folder(info) or any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        elif (info.external_attr >> 16) & 0o170000 == 0o120000:
            findings.append(f"{info.filename}: is a link")
        elif len(path.parts) != 2:
            findings.append(f"{info.filename}: is not in the one folder of the archive")
        elif path.name in members:
            findings.append(f"{info.filename}: is there twice")
        else:
            members[path.name] = info
            folders.add(path.parts[0])
    if len(folders) > 1:
        findings.append(f"{len(folders)} folders ({', '.join(sorted(folders))}), one is wanted")
    return members, findings


def _names(wanted: Set[str], found: Set[str]) -> list[str]:
    missing = [f"{name}: is missing" for name in sorted(wanted - found)]
    return missing + [f"{name}: belongs to no pair" for name in sorted(found - wanted)]


@contextmanager
def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[Path]:
    """A member as a file of its own, under a name that is not the archive's to choose.

    Raises
    ------
    InputError
        It is damaged, encrypted, or packed in an unknown way.
    """
    name = PurePosixPath(info.filename).name
    with tempfile.TemporaryDirectory(prefix="optreg-") as folder:
        path = Path(folder) / "field.nii.gz"
        try:
            with archive.open(info) as packed, open(path, "wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
        except Exception as error:  # as above, or encrypted, or no room
            raise InputError(f"{name}: cannot be unpacked ({error})") from error
        yield path


def _field(path: Path, name: str, shape: tuple[int, ...] | None, allow_folds: bool) -> list[str]:
    """What is wrong with one field."""
    try:
        stored = read_nifti(path)
    except InputError as error:
        return [f"{name}: {str(error).removeprefix(f'{path}: ')}"]
    array, findings = stored.array, []
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        findings.append(f"{name}: voxels are {array.dtype}, float32 is wanted")
    if array.ndim == 4 and array.shape[-1] == 3:
        disp = np.moveaxis(array, -1, 0)
    elif array.ndim == 4 and array.shape[0] == 3:
        disp = array
    else:
        return [*findings, f"{name}: shape {array.shape}, no field of three components"]
    if shape is not None and disp.shape[1:] != tuple(shape[:3]):
        findings.append(f"{name}: is for images of {disp.shape[1:]}, those here are {shape[:3]}")
    bad = int((~np.isfinite(disp)).any(axis=0).sum())
    if bad:
        findings.append(f"{name}: {bad} voxels are NaN or infinite")
    elif not allow_folds and min(disp.shape[1:]) >= 3:
        folds = count_folds(np.ascontiguousarray(disp, np.float32))
        if folds.folded_voxels:
            findings.append(f"{name}: {folds.folded_voxels} voxels are folded")
    return findings
