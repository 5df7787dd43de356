"""``optreg info``: the machine and the files it describes."""

import numpy as np
import pytest

from optreg.io import write_transform
from optreg.transform import Affine


def test_info_describes_machine_and_files(files, succeeds):
    text = succeeds("info").out
    assert all(word in text for word in ("Python", "numpy", np.__version__, "threads", "GPU"))
    text = succeeds("info", files / "fixed.nii.gz", files / "fixed_seg.nii.gz").out
    assert "40 x 48 x 44 voxels of 1 x 1 x 1 mm" in text and "RAS" in text
    assert "float32" in text and "distinct values" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("disp.nii.gz", ["from", "to", "40 x 48 x 44 voxels of 1 x 1 x 1 mm, RAS"]),
        ("disp_itk.nii.gz", ["from", "40 x 48 x 44 voxels of 1 x 1 x 1 mm, RAS"]),
        ("network.nii.gz", ["40 x 48 x 44 voxels of an image that the file does not name"]),
    ],
)
def test_info_of_a_field(name, words, files, smooth_disp, succeeds):
    said = succeeds("info", files / name).out
    length = np.sqrt((smooth_disp**2).sum(axis=0))
    assert all(word in said for word in [*words, "displacement field"]), said
    assert f"mean {length.mean():.2f}, largest {length.max():.2f}" in said
    assert "folded voxels" in said


def test_info_of_an_affine(files, tmp_path, succeeds, fails):
    matrix = np.eye(4)
    matrix[:3, 3] = 1, 2, 3
    write_transform(tmp_path / "a.tfm", Affine(matrix), format="itk")
    assert "2.00000" in succeeds("info", tmp_path / "a.tfm").out
    (tmp_path / "x.tfm").write_text("nothing")
    assert "x.tfm" in fails(3, "info", tmp_path / "x.tfm")
    (tmp_path / "x.nii").write_text("nothing")
    assert "is not a NIfTI file" in fails(3, "info", tmp_path / "x.nii")
