"""Result folders that are complete or not there at all."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from optreg.errors import OutputError
from optreg.io.files import check_folder_name

__all__ = ["check_folder", "content", "discard_result", "discard_staged", "staged_folder"]

# Written last and removed first: a folder with this file holds one complete result.
_SEAL = "result.json"
# What an earlier run left must not mix with a new one.
_OWN = {
    "disp.nii.gz",
    "inverse.nii.gz",
    "warped.nii.gz",
    "config.toml",
    "metrics.json",
    "overview.png",
    "report.html",
    "warped_labels.nii.gz",
    "log_jacobian.nii.gz",
    "thumbnail.jpg",
    "affine.tfm",
    "affine_flirt.mat",
    "disp_itk.nii.gz",
    "inverse_itk.nii.gz",
}
# Names that users give their own files too: of a run only beside the file that it always writes.
_OWN_BESIDE = {
    "truth.nii.gz": {
        "fixed.nii.gz",
        "moving.nii.gz",
        "fixed_labels.nii.gz",
        "moving_labels.nii.gz",
    },
    "agreement.nii.gz": {"labels.nii.gz", "volumes.csv"},
}


def check_folder(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Raise the OutputError that can be known before the work is done; return the path.

    Raises
    ------
    OutputError
        `path` is a file or called like one, a folder with something in it without `overwrite`, or
        cannot be made.
    """
    target = Path(path)
    try:
        if target.exists() and not target.is_dir():
            raise OutputError(f"{target}: is a file; name a folder")
        if target.is_dir() and not overwrite and content(target):
            raise OutputError(f"{target}: the folder is not empty; use another or --overwrite")
        check_folder_name(target)
        _parent(target).mkdir(parents=True, exist_ok=True)
        writable = target if target.is_dir() else _parent(target)
        if not os.access(writable, os.W_OK | os.X_OK):
            raise OutputError(f"{writable}: no permission to write there; choose another folder")
    except OSError as err:
        raise OutputError(f"{target}: cannot be used ({err.strerror}); choose another") from err
    return target


def content(folder: Path) -> set[str]:
    """Names in a folder, without the hidden ones of runs that were killed or go on."""
    return {file.name for file in folder.iterdir() if not file.name.startswith(_prefix(folder))}


def discard_staged(path: Path) -> None:
    """Remove the hidden folders of runs that were killed while they wrote to `path`."""
    for place in (_parent(path), path):
        for left in place.glob(f"{glob.escape(_prefix(path))}*"):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def staged_folder(
    path: str | os.PathLike[str], overwrite: bool, more: bool = False
) -> Iterator[Path]:
    """Yield a hidden folder whose content becomes that of `path` if all goes well.

    It is in `path` where that exists, which may be a link, a mount or in a folder that cannot be
    written to, and is then filled file by file; else beside it. Whatever ends the block early, an
    interrupt included, removes the hidden folder and leaves `path` as it was. An existing folder
    keeps the files that no command of this program writes; with `more`, which adds to a result that
    is there, all.

    Raises
    ------
    OutputError
        As `check_folder`, or the disk is full.
    """
    target = check_folder(path, overwrite or more)
    place = target if target.is_dir() else _parent(target)
    try:
        staged = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=place))
    except OSError as err:
        raise OutputError(f"{target}: cannot be written ({err.strerror})") from err
    try:
        yield staged
        _move_in(staged, target, more)
    except OSError as err:
        raise OutputError(f"{target}: cannot be written ({err.strerror or err})") from err
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _move_in(staged: Path, target: Path, more: bool) -> None:
    if not target.is_dir():
        # mkdtemp makes folders that only the owner can open; the result has the usual rights.
        umask = os.umask(0)
        os.umask(umask)
        staged.chmod(0o777 & ~umask)
        os.replace(staged, target.resolve())
        return
    new = sorted(staged.iterdir(), key=lambda file: file.name == _SEAL)
    if not more:
        (target / _SEAL).unlink(missing_ok=True)
        _remove_old(target, {file.name for file in new})
    for file in new:
        os.replace(file, target / file.name)


def discard_result(folder: Path) -> None:
    """Remove what a command wrote into a folder, as far as it can be; other files stay."""
    for name in _OWN | {_SEAL}:
        with suppress(OSError):
            (folder / name).unlink()


def _remove_old(target: Path, new: set[str]) -> None:
    """Remove what an earlier run wrote and this one does not replace."""
    old = set(_OWN)
    for sure, others in _OWN_BESIDE.items():
        if (target / sure).exists():
            old |= {sure, *others}
    for name in old - new:
        (target / name).unlink(missing_ok=True)


def _prefix(target: Path) -> str:
    return f".{target.resolve().name}."


def _parent(target: Path) -> Path:
    # "." and "out/.." have no name to put a sibling beside until they are resolved.
    return target.resolve().parent
