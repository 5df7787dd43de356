"""The linear alignment of a registration is kept apart from what it deforms."""

import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from commands import command_line
from scipy.spatial.transform import Rotation

import optreg
from optreg import cli
from optreg.errors import InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image, read_field, read_transform, save_image
from optreg.report.numbers import setup_tables
from optreg.transform import Affine, DisplacementField

ANGLES = (4.0, -3.0, 12.0)


@pytest.fixture(scope="module")
def turned(blobs, tmp_path_factory):
    """Folder with a fixed and a moving head, larger, turned and shifted; and the map between."""
    folder = tmp_path_factory.mktemp("turned")
    center = blobs.grid.center_mm
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", ANGLES, degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.diag([1.06, 0.97, 1.03])
    matrix[:3, 3] = center + np.array([4, -6, 5]) - matrix[:3, :3] @ center
    truth = Affine(matrix)
    affine = blobs.grid.affine.copy()
    affine[:3, 3] -= 6
    grid = Grid((52, 60, 56), affine)
    moving = truth.invert().to_displacement(grid, blobs.grid).apply(blobs, "linear")
    save_image(folder / "fixed.nii.gz", blobs.data, blobs.grid)
    save_image(folder / "moving.nii.gz", moving.data, grid)
    return folder, truth


@pytest.fixture(scope="module")
def folder(turned):
    where, _ = turned
    argv = command_line("register", "--quiet", fixed=where / "fixed.nii.gz", preset="fast",
                        moving=where / "moving.nii.gz", init="affine", output=where / "r",
                        device="cpu")  # fmt: skip
    assert cli.main(argv) == 0
    return where / "r"


def test_what_was_found_is_written(turned, folder):
    """In two formats of others; near the truth, and what the field contains."""
    where, truth = turned
    fixed, moving = (load_image(where / f"{n}.nii.gz") for n in ("fixed", "moving"))
    said = json.loads((folder / "result.json").read_text())["affine"]
    found = Affine(np.array(said["matrix"]))
    points = fixed.grid.voxel_to_world(np.argwhere(fixed.data > 0)[::50])
    off = np.linalg.norm(found.to_points_mm(points) - truth.to_points_mm(points), axis=1)
    assert off.mean() < 0.5
    np.testing.assert_allclose(said["rotation_deg"], ANGLES, atol=1.5)
    np.testing.assert_allclose(said["scale"], (1.06, 0.97, 1.03), atol=0.045)
    np.testing.assert_allclose(said["translation_mm"], (4, -6, 5), atol=0.5)
    assert said["volume"] == pytest.approx(np.linalg.det(found.matrix[:3, :3]))
    itk = sitk.ReadTransform(str(folder / "affine.tfm"))
    lps = np.array([-1, -1, 1])
    theirs = np.array([itk.TransformPoint((lps * p).tolist()) for p in points[:20]]) * lps
    np.testing.assert_allclose(theirs, found.to_points_mm(points[:20]), atol=1e-6)
    again = read_transform(folder / "affine_flirt.mat", fixed.grid, moving.grid, format="flirt")
    np.testing.assert_allclose(again.matrix, found.matrix, atol=1e-6)
    disp = read_field(folder / "disp.nii.gz")
    off = np.linalg.norm(disp.to_points_mm(points) - found.to_points_mm(points), axis=1)
    assert off.mean() < 1.0


def test_report_has_its_parts(folder):
    page = (folder / "report.html").read_text()
    assert "Linear alignment" in page and "rotation about x y z" in page


def test_nothing_linear_is_said_to_be_none(turned, folder, capsys):
    where, _ = turned
    argv = command_line("register", "--quiet", fixed=where / "fixed.nii.gz", preset="fast",
                        moving=where / "fixed.nii.gz", init="none", output=where / "same",
                        device="cpu", outputs="warped")  # fmt: skip
    (where / "same").mkdir()
    (where / "same" / "affine.tfm").write_text("of an earlier run")
    assert cli.main([*argv, "--overwrite"]) == 0
    assert json.loads((where / "same" / "result.json").read_text())["affine"] is None
    assert not (where / "same" / "affine.tfm").exists()


@pytest.mark.parametrize("kind", ["object", "file", "field"])
def test_affine_that_is_given_is_the_one_of_the_result(kind, turned, tmp_path):
    where, truth = turned
    fixed, moving = (load_image(where / f"{n}.nii.gz") for n in ("fixed", "moving"))
    init = truth
    if kind == "file":
        init = optreg.io.write_transform(tmp_path / "a.tfm", truth, format="itk")
    if kind == "field":
        init = truth.to_displacement(fixed.grid, moving.grid)
    result = optreg.register(fixed, moving, init=init, preset="fast", device="cpu")
    if kind == "field":
        assert result.affine is None
    else:
        np.testing.assert_allclose(result.affine.matrix, truth.matrix, atol=1e-9)
        assert "Linear alignment" in setup_tables(result)


def test_slices_and_other_axes_keep_it(turned):
    where, truth = turned
    fixed, moving = (load_image(where / f"{n}.nii.gz") for n in ("fixed", "moving"))
    flipped = Image(
        np.ascontiguousarray(fixed.data[:, ::-1]), fixed.grid.crop(np.s_[:, ::-1, :]), "flipped"
    )
    result = optreg.register(flipped, moving, init=truth, preset="fast", device="cpu")
    np.testing.assert_allclose(result.affine.matrix, truth.matrix, atol=1e-9)
    still = Affine(np.eye(4))
    one = Image(np.ascontiguousarray(fixed.data[:, :, 20:21]), fixed.grid.crop(np.s_[:, :, 20:21]))
    result = optreg.register(one, one, init=still, preset="fast", device="cpu")
    assert result.affine is still


def test_change_of_volume_without_it(turned, folder, tmp_path):
    where, _ = turned
    maps = {}
    for name, more in (("all", {}), ("rest", {"without_affine": folder / "affine.tfm"})):
        argv = command_line("jacobian", "--quiet", field=folder / "disp.nii.gz",
                            fixed=where / "fixed.nii.gz", output=tmp_path / f"{name}.nii.gz",
                            **more)  # fmt: skip
        assert cli.main(argv) == 0
        maps[name] = np.asarray(nib.load(tmp_path / f"{name}.nii.gz").dataobj)
    volume = json.loads((folder / "result.json").read_text())["affine"]["volume"]
    np.testing.assert_allclose(maps["all"] - maps["rest"], np.log(volume), atol=1e-5)
    field = folder / "disp.nii.gz"
    argv = command_line("jacobian", field=field, fixed=where / "fixed.nii.gz",
                        output=tmp_path / "x.nii.gz", without_affine=field)  # fmt: skip
    assert cli.main(argv) == 3


def test_result_is_gone_on_from(turned):
    """Another contrast of the moving image starts from the result of the first."""
    where, truth = turned
    fixed, moving = (load_image(where / f"{n}.nii.gz") for n in ("fixed", "moving"))
    first = optreg.register(fixed, moving, init=truth, preset="fast", device="cpu")
    other = Image(np.sqrt(moving.data), moving.grid, "other")
    given = {"refine": True, "preset": "fast", "device": "cpu"}
    found = optreg.register(fixed, other, init=first, **given)
    expected = optreg.register(fixed, other, init=first.transform, **given)
    np.testing.assert_array_equal(found.disp, expected.disp)
    assert found.affine is first.affine is truth and expected.affine is None


def test_evaluate_takes_files_and_results(folder):
    path = folder / "disp.nii.gz"
    field = read_field(path)
    expected = optreg.evaluate(field)
    assert optreg.evaluate(path) == optreg.evaluate(str(path)) == expected
    assert isinstance(field, DisplacementField)
    with pytest.raises(InputError, match="no such file"):
        optreg.evaluate(folder / "nothing.nii.gz")
