"""Small valid files of every format that is read, from which damaged ones are made."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from optreg.config import RegistrationConfig
from optreg.grid import Grid
from optreg.io import save_image, write_field, write_landmarks, write_transform
from optreg.io.landmarks import Landmarks
from optreg.transform import Affine

__all__ = ["FIXED", "MOVING", "PAIRS", "SAMPLES", "Sample", "write_companions"]


class Sample(NamedTuple):
    """A file, and how it is read.

    Attributes
    ----------
    file : str
        Its name, which is the name of the sample after a folder's.
    kind : str
        Key of `fuzz_readers.READERS`.
    make : callable
        Writes it to a path.
    format : str or None
        Of a transform, where it must be named.
    """

    file: str
    kind: str
    make: Callable[[Path], object]
    format: str | None = None


_TURN = np.array([[0.96, -0.28, 0, 4], [0.28, 0.96, 0, -7.5], [0, 0, -1.5, 11], [0, 0, 0, 1.0]])
FIXED = Grid((9, 10, 8), _TURN)
MOVING = Grid((8, 9, 11), np.diag([-1.0, 1, 1.25, 1]))
PAIRS = ("disp_0001_0002.nii.gz", "disp_0002_0001.nii.gz")

_rng = np.random.default_rng(11)
_VOXELS = _rng.integers(0, 200, FIXED.shape)
_DISP = _rng.normal(0, 0.3, (3, *FIXED.shape)).astype(np.float32)
_POINTS_VOX = _rng.uniform(0, 7, (4, 3))
_POINTS = Landmarks(
    ("AC", "PC", "left, upper", "4"), _POINTS_VOX, FIXED.voxel_to_world(_POINTS_VOX)
)
_AFFINE = Affine(np.array([[1, 0.1, 0, 2], [-0.1, 0.9, 0, 1], [0, 0.05, 1.1, -3], [0, 0, 0, 1.0]]))


def _nifti(kind: type, dtype: str, **fields: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        image = kind(_VOXELS.astype(dtype), FIXED.affine, dtype=dtype)
        image.set_qform(FIXED.affine, 1)
        for name, value in fields.items():
            image.header[name] = value
        nib.save(image, path)

    return make


def _series(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.stack([_VOXELS, _VOXELS + 1], 3).astype("i2"), FIXED.affine), path)


def _plane(path: Path) -> None:
    nib.save(nib.Nifti1Image(_VOXELS[:, :, 3].astype("f4"), FIXED.affine), path)


def _itk_plane(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(_VOXELS[:, :, 3].astype("u1")), str(path))


def _mgh(dtype: str) -> Callable[[Path], None]:
    return lambda path: nib.save(nib.MGHImage(_VOXELS.astype(dtype), FIXED.affine), path)


def _itk(dtype: str, compress: bool) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        image = sitk.GetImageFromArray(_VOXELS.T.astype(dtype))
        image.SetSpacing((1.0, 1.0, 1.5))
        image.SetOrigin((3.0, -4.0, 5.5))
        sitk.WriteImage(image, str(path), compress)

    return make


def _field(format: str) -> Callable[[Path], Path]:
    return lambda path: write_field(path, _DISP, FIXED, MOVING, format=format)


def _affine(format: str) -> Callable[[Path], Path]:
    return lambda path: write_transform(path, _AFFINE, FIXED, MOVING, format=format)


def _composite(path: Path) -> None:
    both = sitk.CompositeTransform(3)
    both.AddTransform(_AFFINE.to_sitk())
    both.AddTransform(sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0)))
    sitk.WriteTransform(both, str(path))


def _xfm(path: Path) -> None:
    rows = "\n".join(" ".join(f"{v:g}" for v in row) for row in _AFFINE.matrix[:3])
    path.write_text(
        f"MNI Transform File\n\nTransform_Type = Linear;\nLinear_Transform =\n{rows};\n"
    )


def _fields(files: Path) -> None:
    with zipfile.ZipFile(files, "w") as archive:
        for name in PAIRS:
            voxels = np.moveaxis(_DISP, 0, -1)
            packed = nib.Nifti1Image(voxels, np.eye(4)).to_bytes()
            archive.writestr(f"mine/{name}", gzip.compress(packed, 1))


def _entry(fixed: int, moving: int, **more: str) -> dict[str, str]:
    names = (f"./images/X_000{n}_0000.nii.gz" for n in (fixed, moving))
    return {**dict(zip(("fixed", "moving"), names, strict=True)), **more}


_DATASET = {
    "name": "LUMIR", "tensorImageShape": {"0": FIXED.shape}, "numTest": 0, "test": [],
    "validation": [_entry(1, 2, group="here"), _entry(2, 1)],
}  # fmt: skip
_EVALUATION = {
    "evaluation_methods": [{"metric": "dice", "labels": [0, 4, 11]}, {"metric": "ndv"}],
    "expected_shape": [*FIXED.shape, 3], "eval_pairs": [_entry(1, 2), _entry(2, 1)],
}  # fmt: skip
_TABLE = (
    "fixed, moving, name, group\nimages/X_0001_0000.nii.gz, images/X_0002_0000.nii.gz, a-b, c\n"
)


def _text(content: object) -> Callable[[Path], int]:
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    return lambda path: path.write_text(text)


SAMPLES = (
    Sample("a.nii", "image", _nifti(nib.Nifti1Image, "i2")),
    Sample("b.nii", "image", _nifti(nib.Nifti2Image, "f4")),
    Sample("c.nii", "image", _nifti(nib.Nifti1Image, "u1", scl_slope=0.5, scl_inter=-3)),
    Sample("a.nii.gz", "image", _nifti(nib.Nifti1Image, "f8", sform_code=0)),
    Sample("b.nii.gz", "series", _series),
    Sample("plane.nii", "image", _plane),
    Sample("plane.mha", "image", _itk_plane),
    Sample("plane.nrrd", "image", _itk_plane),
    Sample("a.mgh", "image", _mgh("f4")),
    Sample("a.mgz", "image", _mgh("u1")),
    Sample("a.mha", "image", _itk("i2", False)),
    Sample("b.mha", "image", _itk("f4", True)),
    Sample("a.nrrd", "image", _itk("f4", False)),
    Sample("b.nrrd", "image", _itk("u1", True)),
    Sample("l2r.nii", "transform", _field("l2r"), "l2r"),
    Sample("l2r.nii.gz", "transform", _field("l2r")),
    Sample("itk.nii", "transform", _field("itk")),
    Sample("fsl.nii", "transform", _field("fsl")),
    Sample("fsl-abs.nii.gz", "transform", _field("fsl-abs"), "fsl-abs"),
    Sample("spm.nii", "transform", _field("spm"), "spm"),
    Sample("field.mha", "transform", _field("itk")),
    Sample("field.nrrd", "transform", _field("itk")),
    Sample("field.h5", "transform", _field("itk")),
    Sample("field.npz", "transform", _field("npz")),
    Sample("torch.npz", "transform", _field("torch"), "torch"),
    Sample("torch.npy", "transform", _field("torch-aligned"), "torch-aligned"),
    Sample("affine.tfm", "transform", _affine("itk")),
    Sample("affine.txt", "transform", _affine("itk")),
    Sample("affine.mat", "transform", _affine("itk")),
    Sample("affine.h5", "transform", _affine("itk")),
    Sample("affine.xfm", "transform", _xfm),
    Sample("composite.tfm", "transform", _composite),
    Sample("composite.hdf5", "transform", _composite),
    Sample("flirt.mat", "transform", _affine("flirt"), "flirt"),
    Sample("ras.txt", "transform", _affine("ras"), "ras"),
    Sample("points.csv", "landmarks", lambda path: write_landmarks(path, _POINTS)),
    Sample("points.fcsv", "landmarks", lambda path: write_landmarks(path, _POINTS)),
    Sample("points.mrk.json", "landmarks", lambda path: write_landmarks(path, _POINTS)),
    Sample("dataset.json", "dataset", _text(_DATASET)),
    Sample("evaluation.json", "dataset", _text(_EVALUATION)),
    Sample("pairs.csv", "dataset", _text(_TABLE)),
    Sample("config.toml", "config", _text(RegistrationConfig().to_toml())),
    Sample("mine.zip", "submission", _fields),
)


def write_companions(folder: Path) -> None:
    """Write what datasets and submissions need besides: the images, and a sound list of pairs."""
    (folder / "images").mkdir()
    for number in (1, 2):
        path = folder / "images" / f"X_000{number}_0000.nii.gz"
        save_image(path, _VOXELS.astype(np.uint8), FIXED)
    (folder / "sound.json").write_text(json.dumps(_DATASET))
