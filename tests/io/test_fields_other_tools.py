"""Written files as other programs read them, and theirs as they are read here.

The programs need not be installed with this package: ``OPTREG_ANTS_PYTHON`` names an interpreter
that has antspyx, ``OPTREG_FORMATS_PYTHON`` one that has torch, fslpy and nitransforms. Without
them the tests are skipped.
"""

import os
import subprocess

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage
from scipy.spatial.transform import Rotation

from optreg.grid import Grid
from optreg.io import load_image, save_image
from optreg.io.fields import read_field, read_transform, write_transform
from optreg.transform import Affine, DisplacementField


def grid(shape, spacing, angles=(0.0, 0.0, 0.0)):
    """Grid whose middle is the origin of the world."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix() * spacing
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


PAIRS = {
    "same, det > 0": (grid((26, 24, 22), (1.2, 1, 1.5)), grid((26, 24, 22), (1.2, 1, 1.5))),
    "same, det < 0": (grid((26, 24, 22), (-1.2, 1, 1.5)), grid((26, 24, 22), (-1.2, 1, 1.5))),
    "det > 0 to < 0": (grid((26, 24, 22), (1.2, 1, 1.5)), grid((25, 30, 28), (-1.3, 1.1, 1.2))),
    "det < 0 to > 0": (grid((25, 30, 28), (1.3, -1.1, 1.2)), grid((26, 24, 22), (-1.2, -1, 1.5))),
    "oblique": (
        grid((26, 24, 22), (1.2, 1, 1.5), (0.2, -0.3, 0.4)),
        grid((28, 25, 30), (1, -1.3, 1.1), (-0.4, 0.1, 0.2)),
    ),
}
TURN = np.eye(4)
TURN[:3] = [[1.02, 0.05, 0, 1], [-0.05, 0.98, 0.03, -1.5], [0, -0.02, 1.01, 0.5]]


@pytest.fixture(params=PAIRS, ids=lambda name: name.replace(" ", "-"))
def pair(request, tmp_path, rng):
    """Field, moving volume, and positions in both worlds; the images are files."""
    fixed, moving = PAIRS[request.param]
    disp = ndimage.gaussian_filter(rng.standard_normal((3, *fixed.shape)), (0, 3, 3, 3))
    field = DisplacementField(disp * (2.5 / np.abs(disp).max()), fixed, moving)
    volume = ndimage.gaussian_filter(rng.standard_normal(moving.shape), 1).astype(np.float32)
    save_image(tmp_path / "fixed.nii", np.zeros(fixed.shape, np.float32), fixed)
    save_image(tmp_path / "moving.nii", volume, moving)
    index = rng.integers(2, np.array(fixed.shape) - 2, (60, 3))
    points = fixed.voxel_to_world(index)
    np.save(tmp_path / "points.npy", points)
    return field, volume, points


@pytest.fixture
def run(tmp_path):
    """Function that runs code in another interpreter, in the folder of the test."""

    def call(variable, code):
        python = os.environ.get(variable)
        if not python:
            pytest.skip(f"set {variable} to an interpreter with the other program")
        done = subprocess.run(
            [python, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return np.load(tmp_path / "out.npy") if (tmp_path / "out.npy").exists() else None

    return call


ANTS, FORMATS = "OPTREG_ANTS_PYTHON", "OPTREG_FORMATS_PYTHON"


# --- torch --------------------------------------------------------------------------------------


def test_torch_warps_by_the_grid(pair, run, tmp_path):
    field, volume, _ = pair
    write_transform(tmp_path / "faces.npy", field, format="torch")
    write_transform(tmp_path / "centres.npy", field, format="torch-aligned")
    warped = run(
        FORMATS,
        """
import nibabel as nib, numpy as np, torch
volume = torch.from_numpy(nib.load("moving.nii").get_fdata(dtype=np.float32))[None, None]
warped = [torch.nn.functional.grid_sample(volume, torch.from_numpy(np.load(name))[None],
    padding_mode="border", align_corners=aligned)[0, 0].numpy()
    for name, aligned in (("faces.npy", False), ("centres.npy", True))]
np.save("out.npy", warped)
""",
    )
    expected = field.apply(volume, fill=None)
    assert_allclose(warped, [expected, expected], atol=1e-3)


@pytest.mark.parametrize(("format", "aligned"), [("torch", False), ("torch-aligned", True)])
def test_grid_made_by_torch_is_read(run, tmp_path, format, aligned):
    theta = [[0.9, 0.1, 0, 0.05], [-0.1, 0.95, 0, -0.1], [0, 0.05, 1.05, 0.02]]
    volume = np.random.default_rng(0).standard_normal((12, 14, 10)).astype(np.float32)
    np.save(tmp_path / "volume.npy", volume)
    warped = run(
        FORMATS,
        f"""
import nibabel as nib, numpy as np, torch
grid = torch.nn.functional.affine_grid(torch.tensor([{theta}]), (1, 1, 16, 15, 18), {aligned})
np.savez("grid.npz", grid.numpy())
volume = torch.from_numpy(np.load("volume.npy"))[None, None]
warped = torch.nn.functional.grid_sample(volume, grid, padding_mode="border",
    align_corners={aligned})
np.save("out.npy", warped[0, 0].numpy())
""",
    )
    fixed, moving = Grid.identity((16, 15, 18)), Grid.identity((12, 14, 10))
    field = read_field(tmp_path / "grid.npz", fixed, moving, format=format)
    assert_allclose(field.apply(volume, fill=None), warped, atol=1e-3)


# --- FSL ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["fsl", "fsl-abs"])
def test_fslpy_moves_points_by_the_warp(pair, run, tmp_path, format):
    field, _, points = pair
    write_transform(tmp_path / "warp.nii", field, format=format)
    moved = run(
        FORMATS,
        f"""
import numpy as np
from fsl.data.image import Image
from fsl.transform.fnirt import readFnirt
kind = {"absolute" if format == "fsl-abs" else "relative"!r}
warp = readFnirt("warp.nii", Image("moving.nii"), Image("fixed.nii"), defType=kind)
np.save("out.npy", warp.transform(np.load("points.npy"), "world", "world"))
""",
    )
    assert_allclose(field.to_points_mm(points), moved, atol=1e-3)


@pytest.mark.parametrize("format", ["fsl", "fsl-abs"])
def test_warp_written_by_fslpy_is_read(pair, run, tmp_path, format):
    field, _, points = pair
    where = field.fixed_grid.voxel_to_world(np.moveaxis(np.indices(field.disp.shape[1:]), 0, -1))
    np.save(tmp_path / "where.npy", where + np.moveaxis(field.to_mm(), 0, -1))
    run(
        FORMATS,
        f"""
import numpy as np
from fsl.data.image import Image
from fsl.transform import fnirt, nonlinear
source, reference = Image("moving.nii"), Image("fixed.nii")
world = nonlinear.DeformationField(np.load("where.npy"), source, reference, srcSpace="world",
    refSpace="world", defType="absolute", header=reference.header)
warp = fnirt.toFnirt(world)
kind = {"absolute" if format == "fsl-abs" else "relative"!r}
nonlinear.DeformationField(nonlinear.convertDeformationType(warp, kind)
    if warp.deformationType != kind else warp.data, source, reference, defType=kind,
    header=reference.header).save("warp.nii")
""",
    )
    again = read_field(tmp_path / "warp.nii", None, field.source_grid, format=format)
    assert_allclose(again.to_points_mm(points), field.to_points_mm(points), atol=1e-3)


def test_matrix_of_flirt_is_that_of_fslpy_and_nitransforms(pair, run, tmp_path):
    field, _, _ = pair
    grids = field.fixed_grid, field.source_grid
    write_transform(tmp_path / "ours.mat", Affine(TURN), *grids, format="flirt")
    np.save(tmp_path / "turn.npy", TURN)
    matrices = run(
        FORMATS,
        """
import numpy as np
from fsl.data.image import Image
from fsl.transform import flirt
from nitransforms.linear import load
source, reference = Image("moving.nii"), Image("fixed.nii")
flirt.writeFlirt(flirt.toFlirt(np.linalg.inv(np.load("turn.npy")), source, reference, "world",
    "world"), "theirs.mat")
ours = flirt.fromFlirt(flirt.readFlirt("ours.mat"), source, reference, "world", "world")
other = load("ours.mat", fmt="fsl", reference="fixed.nii", moving="moving.nii")
np.save("out.npy", [np.linalg.inv(ours), other.matrix])
""",
    )
    assert_allclose(matrices, [TURN, TURN], atol=1e-5)
    theirs = read_transform(tmp_path / "theirs.mat", *grids, format="flirt")
    assert_allclose(theirs.matrix, TURN, atol=1e-5)


# --- nitransforms --------------------------------------------------------------------------------


def check_against_nitransforms(pair, run, path, format):
    field, _, points = pair
    write_transform(path, field, format=format)
    moved = run(
        FORMATS,
        f"""
import numpy as np
from nitransforms.nonlinear import load
np.save("out.npy", load("warp.nii.gz", fmt={format!r}).map(np.load("points.npy")))
""",
    )
    # It interpolates the field by splines, which differ a little even at voxels.
    assert_allclose(field.to_points_mm(points), moved, atol=2e-3)


def test_nitransforms_moves_points_by_the_field(pair, run, tmp_path):
    check_against_nitransforms(pair, run, tmp_path / "warp.nii.gz", "itk")


# Of FSL's warps it knows those between images on one upright grid with a positive determinant.
@pytest.mark.parametrize("pair", ["same, det > 0"], indirect=True)
def test_nitransforms_moves_points_by_the_warp_of_fsl(pair, run, tmp_path):
    check_against_nitransforms(pair, run, tmp_path / "warp.nii.gz", "fsl")


def test_nitransforms_reads_affines_of_itk(run, tmp_path):
    write_transform(tmp_path / "a.tfm", Affine(TURN), format="itk")
    matrix = run(
        FORMATS,
        """
import numpy as np
from nitransforms.linear import load
np.save("out.npy", load("a.tfm", fmt="itk").matrix)
""",
    )
    assert_allclose(np.squeeze(matrix), TURN, atol=1e-6)


# --- ANTs -----------------------------------------------------------------------------------------

_APPLY = """
import ants
fixed, moving = ants.image_read("fixed.nii"), ants.image_read("moving.nii")
for number, names in enumerate({lists}):
    warped = ants.apply_transforms(fixed, moving, names, whichtoinvert=[False] * len(names))
    ants.image_write(warped, f"warped{{number}}.nii")
"""


def inside(field, volume):
    """Voxels that sample the moving volume well within its border."""
    return ndimage.binary_erosion(field.apply(np.ones_like(volume)) > 0, iterations=2)


def test_ants_warps_by_the_field(pair, run, tmp_path):
    field, volume, _ = pair
    names = ["a.nii.gz", "a.mha", "a.nrrd", "a.h5"]
    for name in names:
        write_transform(tmp_path / name, field, format="itk")
    run(ANTS, _APPLY.format(lists=[[name] for name in names]))
    mask = inside(field, volume)
    assert mask.mean() > 0.2
    for number in range(len(names)):
        warped = load_image(tmp_path / f"warped{number}.nii").data
        assert_allclose(field.apply(volume)[mask], warped[mask], atol=1e-3)


def test_ants_applies_an_affine_and_then_a_field(pair, run, tmp_path):
    field, volume, _ = pair
    affine = Affine(TURN)
    names = ["a.mat", "a.tfm", "a.txt"]
    for name in names:
        write_transform(tmp_path / name, affine, format="itk")
    write_transform(tmp_path / "warp.nii.gz", field, format="itk")
    # ANTs takes points through the list in its order, from the fixed to the moving image.
    run(ANTS, _APPLY.format(lists=[[name, "warp.nii.gz"] for name in names]))
    joined = field.compose(affine.to_displacement(field.fixed_grid))
    joined = DisplacementField(joined.disp, field.fixed_grid, field.source_grid)
    mask = inside(joined, volume)
    assert mask.mean() > 0.2
    for number in range(len(names)):
        warped = load_image(tmp_path / f"warped{number}.nii").data
        # Composed fields are linear between voxels, the two in turn are not.
        assert_allclose(joined.apply(volume)[mask], warped[mask], atol=5e-3)


@pytest.mark.slow
def test_registration_of_ants_is_read(run, tmp_path, blobs, smooth_disp):
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [0.1, -0.05, 0.08]).as_matrix()
    turn[:3, 3] = 2, -1, 3
    moving = Grid(blobs.shape, turn @ blobs.grid.affine)
    fixed = DisplacementField(smooth_disp, blobs.grid).apply(blobs.data)
    save_image(tmp_path / "fixed.nii", fixed, blobs.grid)
    save_image(tmp_path / "moving.nii", blobs.data, moving)
    run(
        ANTS,
        """
import ants, shutil
fixed, moving = ants.image_read("fixed.nii"), ants.image_read("moving.nii")
found = ants.registration(fixed, moving, "SyN", reg_iterations=(20, 10, 0))
warp, affine = found["fwdtransforms"]
shutil.copy(warp, "warp.nii.gz")
shutil.copy(affine, "affine.mat")
ants.image_write(found["warpedmovout"], "warped.nii")
""",
    )
    warp = read_field(tmp_path / "warp.nii.gz", blobs.grid)
    affine = read_transform(tmp_path / "affine.mat")
    assert isinstance(affine, Affine)
    points = affine.to_points_mm(warp.to_points_mm(blobs.grid.voxel_to_world([[20, 24, 22]])))
    assert np.isfinite(points).all()
    joined = read_field(tmp_path / "affine.mat", blobs.grid).compose(warp)
    ours = DisplacementField(joined.disp, blobs.grid, moving).apply(blobs.data)
    theirs = load_image(tmp_path / "warped.nii").data
    inner = (slice(4, -4),) * 3
    assert np.abs(ours - theirs)[inner].max() < 0.02
    assert np.abs(ours - fixed)[inner].mean() < np.abs(blobs.data - fixed)[inner].mean()
