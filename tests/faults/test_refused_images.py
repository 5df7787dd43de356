"""Images that cannot be used: named in one line, through Python and at the terminal."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import optreg
from optreg.errors import GeometryError, InputError, OptregError

_RGB = [("R", "u1"), ("G", "u1"), ("B", "u1")]


class Fault(NamedTuple):
    """What is wrong with a file, and what must be said of it.

    Attributes
    ----------
    make : callable
        Writes it, given its path, the voxels of a good one, and the fixture `nifti`.
    words : str
        In the message, after the name of the file.
    error : type
    """

    make: Callable[[Path, np.ndarray, Any], object]
    words: str
    error: type[OptregError] = InputError


def _changed(**fields: object) -> Callable[[Path, np.ndarray, Any], object]:
    return lambda path, data, nifti: nifti(path, data, **fields)


def _with(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, np.ndarray, Any], object]:
    return lambda path, data, nifti: nifti(path, change(data))


def _on_disk(
    change: Callable[[bytes], bytes], packed: bool = False
) -> Callable[[Path, np.ndarray, Any], object]:
    """The bytes of the good file, or of its gzipped form, changed."""

    def make(path: Path, data: np.ndarray, nifti: Any) -> None:
        content = nifti(path, data).read_bytes()
        path.write_bytes(change(gzip.compress(content) if packed else content))

    return make


def _holes(data: np.ndarray) -> np.ndarray:
    data = data.copy()
    data[3, 4, 5], data[7, 4, 5], data[8, 9, 10] = np.nan, np.inf, -np.inf
    return data


def _claims_32767(content: bytes) -> bytes:
    header = bytearray(content[:400])
    header[40:56] = np.array([3, 32767, 32767, 32767, 1, 1, 1, 1], np.int16).tobytes()
    return bytes(header)


def _bad_checksum(content: bytes) -> bytes:
    return content[:-6] + bytes([content[-6] ^ 0xFF]) + content[-5:]


def _bomb(content: bytes) -> bytes:
    return gzip.compress(content + bytes(64 << 20), 1)


FAULTS = {
    "fields of view apart": Fault(
        lambda path, data, nifti: nifti(path, data, _far()),
        r"overlap.*\[-12.0, -14.0, -13.0\] to \[12.0, 14.0, 13.0\].*\[499.5, -0.5, -0.5\] to \[52",
        GeometryError,
    ),
    "nan and infinite voxels": Fault(
        _with(_holes), r"3 NaN or infinite voxels, the first at \(3, 4, 5\); .*replace"
    ),
    "all zero": Fault(_with(lambda data: 0 * data), "no foreground"),
    "constant": Fault(_with(lambda data: 0 * data + 7), "constant image"),
    "constant and negative": Fault(_with(lambda data: 0 * data - 7), "constant image"),
    "series": Fault(_with(lambda data: np.stack([data] * 3, 3)), "3 volumes; (pick|extract) one"),
    "rgb": Fault(_with(lambda data: np.zeros(data.shape, _RGB)), "voxels are of type RGB"),
    "complex": Fault(_with(lambda data: data.astype("c8")), "voxels are of type complex64"),
    "thin": Fault(_with(lambda data: data[:, :7]), "24x7x26 voxels; at least 8"),
    "zero affine": Fault(_changed(srow_x=[0, 0, 0, 0]), "affine", GeometryError),
    "affine of nan": Fault(_changed(srow_y=[0, np.nan, 0, 0]), "affine holds NaN", GeometryError),
    "axes in one plane": Fault(
        _changed(srow_x=[1, 0, 1, 0], srow_z=[0, 0, 0, 0]), "affine is singular", GeometryError
    ),
    "zero voxel size": Fault(
        _changed(pixdim=[1, 1, 0, 1, 0, 0, 0, 0], sform_code=0), "voxel size", GeometryError
    ),
    "slope of nan": Fault(_changed(scl_slope=np.nan), "intensity scaling is nan"),
    "empty": Fault(_on_disk(lambda content: b""), "is empty"),
    "text": Fault(_on_disk(lambda content: b"no image at all\n" * 40), "is not a NIfTI file"),
    "wrong magic": Fault(_on_disk(lambda c: c[:344] + b"nx1\0" + c[348:]), "is not a NIfTI file"),
    "truncated": Fault(_on_disk(lambda content: content[:5000]), "truncated|damaged"),
    "truncated gzip": Fault(_on_disk(lambda content: content[:-500], True), "file damaged"),
    "bad checksum": Fault(_on_disk(_bad_checksum, True), "file damaged"),
    "32767 cubed in 400 bytes": Fault(_on_disk(_claims_32767), "cannot hold them"),
    "32767 cubed, gzipped": Fault(
        _on_disk(lambda content: gzip.compress(_claims_32767(content))), "cannot hold them"
    ),
    "gzip bomb": Fault(_on_disk(_bomb), "goes on long after the voxels"),
    "missing": Fault(lambda path, data, nifti: None, "no such file"),
    "directory": Fault(lambda path, data, nifti: path.mkdir(), "is a directory"),
}  # fmt: skip


def _far() -> np.ndarray:
    affine = np.eye(4)
    affine[0, 3] = 500
    return affine


@pytest.fixture(params=FAULTS)
def fault(request, tmp_path, head, nifti):
    """A fault and the file that has it."""
    chosen = FAULTS[request.param]
    path = tmp_path / "bad.nii.gz"
    chosen.make(path, head.data, nifti)
    return chosen, path


def test_python_gets_an_error_that_names_the_file(fault, head):
    expected, path = fault
    with pytest.raises(expected.error, match=expected.words) as caught:
        optreg.register(head, path, preset="fast", device="cpu")
    assert type(caught.value) is expected.error
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_the_terminal_gets_one_line_and_no_file(fault, pair, tmp_path, fails):
    expected, path = fault
    before = os.listdir(tmp_path)
    pair["moving"] = path
    error = fails(3, "register", "--no-report", **pair, output=tmp_path / "result")
    assert error.startswith(f"error: {path}: ")
    assert re.search(expected.words, error)
    assert os.listdir(tmp_path) == before


def test_no_permission(good, pair, tmp_path, fails, monkeypatch):
    def refuse(file, *args, **options):
        if file == good:
            raise PermissionError(13, "Permission denied")
        return sound(file, *args, **options)

    # The tests may run as root, whom no file mode stops.
    sound = open
    monkeypatch.setattr("builtins.open", refuse)
    error = fails(3, "register", "--no-report", **pair, output=tmp_path / "result")
    assert error.startswith(f"error: {good}: no permission to read it")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.astype([("a", "f4"), ("b", "f4")]), "dtype"),
        (lambda data: data.astype(object), "dtype object"),
        (lambda data: data.astype(complex), "dtype complex128"),
        (lambda data: data.astype("datetime64[s]"), "dtype datetime64"),
    ],
)
def test_arrays_that_are_no_numbers(change, words, head):
    with pytest.raises(InputError, match=words):
        optreg.register(head.data, change(head.data))
