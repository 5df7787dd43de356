"""``optreg convert``: chains, inverses and formats, against the library and SimpleITK."""

import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from optreg.cli import convert
from optreg.grid import Grid
from optreg.io import load_image, read_field, save_image
from optreg.io.fields import FORMATS, read_transform, write_field, write_transform
from optreg.io.landmarks import read_landmarks
from optreg.transform import Affine, DisplacementField

FLIP = np.array([-1.0, -1, 1])
TURN = np.eye(4)
TURN[:3] = [[1.02, 0.05, 0, 3], [-0.05, 0.98, 0.03, -2], [0, -0.02, 1.01, 4]]


@pytest.fixture(scope="module")
def place(blobs, smooth_disp, tmp_path_factory):
    """Images of three worlds, and transforms between them: warp, then turn."""
    folder = tmp_path_factory.mktemp("chain")
    u, _, v = np.linalg.svd(TURN[:3, :3])  # without shear, which ITK does not take
    axes = np.eye(4)
    axes[:3, :3] = u @ v @ np.diag([-1.2, 1.5, 1.1])
    axes[:3, 3] = TURN[:3, 3] - axes[:3, :3] @ [18, 15, 20]
    moving = Grid((36, 30, 40), axes)
    between = blobs.grid.downsample(2)
    for name, grid in (("fixed", blobs.grid), ("between", between), ("moving", moving)):
        save_image(folder / f"{name}.nii", np.ones(grid.shape, np.float32), grid)
    field = DisplacementField(smooth_disp, blobs.grid, between)
    write_transform(folder / "warp_fsl.nii.gz", field, format="fsl")
    write_transform(folder / "warp.nii.gz", field, format="itk")
    write_transform(folder / "warp_l2r.nii.gz", field, format="l2r")
    write_transform(folder / "turn.mat", Affine(TURN), format="itk")
    write_transform(folder / "turn.txt", Affine(TURN), format="ras")
    write_transform(folder / "flirt.mat", Affine(TURN), between, moving, format="flirt")
    return folder


@pytest.fixture
def points(blobs):
    index = np.stack(np.meshgrid([8, 20, 30], [9, 24, 38], [8, 22, 36], indexing="ij"))
    return blobs.grid.voxel_to_world(index.reshape(3, -1).T)


def itk_points(transform, points):
    return np.array([transform.TransformPoint((p * FLIP).tolist()) for p in points]) * FLIP


@pytest.fixture
def expected(place, points):
    """Where SimpleITK takes the points: through the warp, then through the affine."""
    warp = sitk.ReadImage(str(place / "warp.nii.gz"), sitk.sitkVectorFloat64)
    moved = itk_points(sitk.DisplacementFieldTransform(warp), points)
    return itk_points(sitk.ReadTransform(str(place / "turn.mat")), moved)


CHAINS = [
    ("warp.nii.gz", "turn.mat", {}),
    ("warp_l2r.nii.gz", "turn.txt", {"from": ("l2r", "ras")}),
    ("warp_fsl.nii.gz", "flirt.mat", {"from": ("fsl", "flirt"), "via": True}),
    ("warp_fsl.nii.gz", "flirt.mat", {"from": ("auto", "flirt"), "via": True}),
]
OUTPUTS = [
    ("l2r", "o.nii.gz"), ("npz", "o.npz"), ("itk", "o.nii.gz"), ("itk", "o.h5"), ("itk", "o.mha"),
    ("fsl", "o.nii.gz"), ("fsl-abs", "o.nii"), ("spm", "o.nii"), ("torch", "o.npy"),
    ("torch-aligned", "o.npz"),
]  # fmt: skip


def options(place, source, then, more):
    """Options that every version of the chain needs."""
    words = ["--compose", place / then]
    if "from" in more:
        words += ["--from", *more["from"]]
    if "via" in more:
        words += ["--via", place / "between.nii"]
    return words, {
        "field": place / source, "fixed": place / "fixed.nii", "moving": place / "moving.nii",
    }  # fmt: skip


@pytest.mark.parametrize(("source", "then", "more"), CHAINS)
def test_chain_of_any_formats_is_that_of_itk(
    place, points, expected, tmp_path, succeeds, source, then, more
):
    words, named = options(place, source, then, more)
    said = succeeds("convert", *words, **named, to="itk", output=tmp_path / "o.h5").out
    assert "field of 40 x 48 x 44 voxels" in said and "format itk" in said
    transform = sitk.ReadTransform(str(tmp_path / "o.h5"))
    np.testing.assert_allclose(itk_points(transform, points), expected, atol=2e-3)


@pytest.mark.parametrize(("format", "name"), OUTPUTS)
def test_every_format_is_written(place, points, expected, tmp_path, succeeds, format, name):
    words, named = options(place, *CHAINS[0])
    succeeds("convert", *words, **named, to=format, output=tmp_path / name)
    grids = [load_image(place / f"{image}.nii").grid for image in ("fixed", "moving")]
    field = read_field(tmp_path / name, *grids, format=format)
    np.testing.assert_allclose(field.to_points_mm(points), expected, atol=2e-3)


@pytest.mark.parametrize(("source", "then", "more"), CHAINS)
def test_inverse_of_a_chain_leads_back(
    place, points, expected, tmp_path, succeeds, source, then, more
):
    words, named = options(place, source, then, more)
    output = tmp_path / "o.mha"
    succeeds("convert", *words, "--inverse", **named, output=output)
    inverse = read_field(output)
    assert inverse.fixed_grid.same_as(load_image(place / "moving.nii").grid)
    back = itk_points(
        sitk.DisplacementFieldTransform(sitk.ReadImage(str(output), sitk.sitkVectorFloat64)),
        expected,
    )
    inside = ((inverse.fixed_grid.world_to_voxel(expected) > 1)
              & (inverse.fixed_grid.world_to_voxel(expected)
                 < np.array(inverse.fixed_grid.shape) - 2)).all(axis=1)  # fmt: skip
    assert inside.sum() > 5
    np.testing.assert_allclose(back[inside], points[inside], atol=0.1)


@pytest.mark.parametrize(("format", "name"), [("itk", "o.tfm"), ("itk", "o.mat"), ("ras", "o.txt"),
                                              ("flirt", "o.mat")])  # fmt: skip
@pytest.mark.parametrize("inverse", [False, True])
def test_affines_stay_affines(place, tmp_path, succeeds, format, name, inverse):
    given = {"field": place / "turn.mat", "fixed": place / "fixed.nii"}
    more = ["--inverse"] if inverse else []
    said = succeeds(
        "convert", *more, "--compose", place / "turn.mat", **given, to=format,
        moving=place / "moving.nii", output=tmp_path / name,
    ).out  # fmt: skip
    assert "affine" in said
    grids = [load_image(place / f"{image}.nii").grid for image in ("fixed", "moving")]
    again = read_transform(tmp_path / name, *grids[:: -1 if inverse else 1], format=format)
    wanted = np.linalg.inv(TURN @ TURN) if inverse else TURN @ TURN
    np.testing.assert_allclose(again.matrix, wanted, atol=1e-6)


@pytest.mark.parametrize(("format", "name"), OUTPUTS)
def test_affine_that_becomes_a_field_is_called_one(place, tmp_path, succeeds, format, name):
    given = {"field": place / "turn.mat", "fixed": place / "fixed.nii"}
    said = succeeds("convert", **given, to=format, output=tmp_path / name).out
    grid = load_image(place / "fixed.nii").grid
    written = read_transform(tmp_path / name, grid, grid, format=format)
    what = "affine" if isinstance(written, Affine) else "field of 40 x 48 x 44 voxels"
    assert said.startswith(f"{tmp_path / name}: {what}")


def test_same_format_gives_the_same_numbers(files, tmp_path, succeeds):
    given = {"field": files / "disp.nii.gz", "fixed": files / "fixed.nii.gz"}
    succeeds("convert", **given, to="l2r", output=tmp_path / "o.nii.gz")
    first, second = (nib.load(p).get_fdata() for p in (given["field"], tmp_path / "o.nii.gz"))
    np.testing.assert_array_equal(first, second)


def test_points_from_slicer_to_a_table_and_back(files, blobs, tmp_path, succeeds, fails):
    mm = blobs.grid.voxel_to_world([[20.0, 24, 22], [12.5, 30, 25]])
    controls = [{"label": n, "position": p.tolist()} for n, p in zip("AB", mm * FLIP, strict=True)]
    content = {"markups": [{"coordinateSystem": "LPS", "controlPoints": controls}]}
    (tmp_path / "p.mrk.json").write_text(json.dumps(content))
    given = {"fixed": files / "fixed.nii.gz"}
    for source, output in (("p.mrk.json", "q.csv"), ("q.csv", "r.fcsv"), ("r.fcsv", "s.mrk.json")):
        said = succeeds("convert", **given, points=tmp_path / source, output=tmp_path / output)
        assert "2 points" in said.out
        points = read_landmarks(tmp_path / output, blobs.grid)
        assert points.names == ("A", "B")
        np.testing.assert_allclose(points.mm, mm, atol=1e-4)
    given["points"] = tmp_path / "q.csv"
    for words in (["--to", "itk"], ["--moving", given["fixed"]], ["--inverse"]):
        said = fails(2, "convert", *words, **given, output="o.csv")
        assert said == f"error: {words[0]} does not go with --points; leave it out\n"
    assert ".mrk.json" in fails(3, "convert", **given, output=tmp_path / "o.json")


def test_apply_takes_points_of_slicer(files, blobs, smooth_disp, tmp_path, succeeds):
    text = "# CoordinateSystem = RAS\n1,0,0,0,0,0,0,1,1,1,0,A,,\n2,-8,6,3,0,0,0,1,1,1,0,B,,\n"
    (tmp_path / "p.fcsv").write_text(text)
    succeeds(
        "apply", field=files / "disp.nii.gz", fixed=files / "fixed.nii.gz",
        points=tmp_path / "p.fcsv", output=tmp_path / "q.csv",
    )  # fmt: skip
    mm = np.array([[0.0, 0, 0], [-8, 6, 3]])
    moved = DisplacementField(smooth_disp, blobs.grid).to_points_mm(mm)
    np.testing.assert_allclose(read_landmarks(tmp_path / "q.csv", blobs.grid).mm, moved, atol=2e-4)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "words", "what"),
    [
        (2, "--field warp.nii.gz --output o.nii.gz", "leaves the format open"),
        (2, "--field warp.nii.gz --output o.mat", "leaves the format open"),
        (2, "--field warp.nii.gz --output o.npy", "leaves the format open"),
        (2, "--field turn.mat --compose turn.mat --from itk itk itk --output o.h5", "names 3"),
        (2, "--field turn.mat --via fixed.nii --output o.h5", "not go without --compose"),
        (2, "--field turn.mat --compose turn.mat turn.mat --via fixed.nii --output o.h5",
            "--via names 1 images; 2 are between"),
        (3, "--field warp.nii.gz --to flirt --output o.mat", "is no affine"),
        (3, "--field warp.nii.gz --output o.tfm", "is no affine"),
        (3, "--field turn.mat --to flirt --output o.mat", "depends on both images"),
        (3, "--field warp_fsl.nii.gz --output o.h5", "depends on the moving image"),
        (3, "--field turn.txt --output o.h5", "a bare 4x4 matrix"),
        (3, "--field flirt.mat --output o.h5", "a bare 4x4 matrix"),
        (3, "--field warp.nii.gz --from spm --output o.h5", "holds displacements, not positions"),
        (3, "--field warp.nii.gz --from npz --output o.h5", "has no such ending"),
        (3, "--field missing.nii --output o.h5", "no such file"),
        (3, "--field warp_fsl.nii.gz --compose flirt.mat --from fsl flirt --moving moving.nii "
            "--output o.h5", "depends on the moving image"),
        (3, "--field warp.nii.gz --compose flirt.mat --from itk flirt --moving moving.nii "
            "--output o.h5", "depends on both images"),
        (3, "--field warp.nii.gz --to itk --output fixed.nii", "exists already"),
    ],
)  # fmt: skip
def test_wrong_use_ends_in_one_line(place, fails, monkeypatch, code, words, what):
    monkeypatch.chdir(place)
    before = sorted(os.listdir(place))
    assert what in fails(code, "convert", *words.split(), "--fixed", "fixed.nii")
    assert sorted(os.listdir(place)) == before


def test_damaged_file_ends_in_one_line(place, tmp_path):
    path = write_transform(tmp_path / "a.h5", Affine(TURN), format="itk")
    path.write_bytes(path.read_bytes()[:3000])
    words = ["convert", "--field", path, "--fixed", place / "fixed.nii", "--output", "o.tfm"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-m", "optreg", *map(str, words)],
        cwd=tmp_path, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert os.listdir(tmp_path) == ["a.h5"]


def test_help_names_every_format():
    assert set(convert._NAMES) == set(FORMATS)


def test_field_of_another_grid_lands_on_that_of_the_fixed_image(
    place, blobs, smooth_disp, points, tmp_path, succeeds
):
    write_field(tmp_path / "w.nii.gz", smooth_disp, blobs.grid, format="itk")
    succeeds("convert", field=tmp_path / "w.nii.gz", fixed=place / "between.nii", to="l2r",
             output=tmp_path / "o.nii")  # fmt: skip
    grid = load_image(place / "between.nii").grid
    field = read_field(tmp_path / "o.nii", grid)
    exact = DisplacementField(smooth_disp, blobs.grid)
    at_voxels = grid.voxel_to_world([[4, 5, 6], [10, 12, 9]])
    np.testing.assert_allclose(
        field.to_points_mm(at_voxels), exact.to_points_mm(at_voxels), atol=1e-4
    )
