"""Formats of FSL, SPM, torch and matrices: numbers worked out by hand, and round trips."""

import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from random_maps import small_affine
from scipy.spatial.transform import Rotation

from optreg.errors import InputError, OutputError
from optreg.grid import Grid
from optreg.io.fields import FORMATS, read_field, read_transform, write_field, write_transform
from optreg.transform import Affine, DisplacementField

FIELDS = [
    ("l2r", "a.nii.gz"), ("npz", "a.npz"), ("itk", "a.nii.gz"), ("itk", "a.mha"),
    ("itk", "a.nrrd"), ("itk", "a.h5"), ("fsl", "a.nii.gz"), ("fsl-abs", "a.nii"),
    ("spm", "a.nii"), ("torch", "a.npz"), ("torch", "a.npy"), ("torch-aligned", "a.npy"),
]  # fmt: skip
AFFINES = [
    ("itk", "a.tfm"), ("itk", "a.txt"), ("itk", "a.mat"), ("itk", "a.h5"),
    ("flirt", "a.mat"), ("ras", "a.txt"),
]  # fmt: skip
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@st.composite
def grids(draw):
    """Any spacing, rotation, order and direction of the axes, not far from the origin."""
    shape = draw(st.tuples(*[st.integers(5, 9)] * 3))
    spacing = draw(st.tuples(*[st.sampled_from([0.7, 1.0, 1.3, 3.0])] * 3))
    signs = draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    angles = draw(st.tuples(*[st.sampled_from([0.0, 0.2, -1.0])] * 3))
    order = draw(st.permutations(range(3)))
    affine = np.eye(4)
    axes = Rotation.from_euler("xyz", angles).as_matrix()[:, order]
    affine[:3, :3] = axes * (np.array(spacing) * signs)
    affine[:3, 3] = draw(st.tuples(*[st.floats(-20, 20)] * 3))
    return Grid(shape, affine)


# --- round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "name"), FIELDS)
@settings(max_examples=15, suppress_health_check=QUIET)
@given(fixed=grids(), moving=grids(), seed=st.integers(0, 2**31))
def test_fields_come_back(tmp_path, format, name, fixed, moving, seed):
    disp = np.random.default_rng(seed).normal(0, 0.5, (3, *fixed.shape)).astype(np.float32)
    path = write_field(tmp_path / name, disp, fixed, moving, format=format, overwrite=True)
    field = read_field(path, fixed, moving, format=format)
    assert_allclose(field.disp, disp, atol=2e-4)
    assert field.fixed_grid.same_as(fixed, tolerance=1e-2)
    assert field.source_grid is moving


@pytest.mark.parametrize(("format", "name"), AFFINES)
@settings(max_examples=15, suppress_health_check=QUIET)
@given(fixed=grids(), moving=grids(), seed=st.integers(0, 2**31))
def test_affines_come_back(tmp_path, format, name, fixed, moving, seed):
    affine = small_affine(seed)
    assume(np.linalg.cond(affine.matrix[:3, :3]) < 10)
    path = write_transform(tmp_path / name, affine, fixed, moving, format=format, overwrite=True)
    again = read_transform(path, fixed, moving, format=format)
    assert_allclose(again.matrix, affine.matrix, atol=1e-9)


@pytest.mark.parametrize(("format", "name"), [f for f in FIELDS if f[1] != "a.h5"])
def test_affine_written_as_a_field_moves_points_alike(tmp_path, oblique_grid, format, name):
    affine = small_affine(1)
    moving = Grid((20, 21, 22), np.diag([-2.0, 2, 1.5, 1]))
    path = write_transform(tmp_path / name, affine, oblique_grid, moving, format=format)
    field = read_field(path, oblique_grid, moving, format=format)
    points = oblique_grid.voxel_to_world([[0.0, 0, 0], [4.5, 3, 8], [17, 22, 19]])
    assert_allclose(field.to_points_mm(points), affine.to_points_mm(points), atol=1e-3)


@pytest.mark.parametrize(("format", "name"), FIELDS + AFFINES)
def test_every_format_is_atomic(tmp_path, format, name, oblique_grid):
    transform = small_affine(2)
    if (format, name) in FIELDS:
        transform = transform.to_displacement(oblique_grid)
    (tmp_path / name).write_bytes(b"old")
    given = {"format": format, "fixed_grid": oblique_grid, "moving_grid": oblique_grid}
    with pytest.raises(OutputError, match="exists already"):
        write_transform(tmp_path / name, transform, **given)
    assert (tmp_path / name).read_bytes() == b"old"
    write_transform(tmp_path / name, transform, **given, overwrite=True)
    assert os.listdir(tmp_path) == [name]
    os.mkdir(tmp_path / "locked", 0o500)
    if os.access(tmp_path / "locked", os.W_OK):
        return  # nothing is read-only to an administrator
    with pytest.raises(OutputError, match="cannot be written"):
        write_transform(tmp_path / "locked" / name, transform, **given)


def test_table_of_formats_is_complete():
    assert set(FORMATS) == {format for format, _ in FIELDS + AFFINES}


@pytest.mark.skipif(sys.platform == "win32", reason="needs setrlimit")
@pytest.mark.parametrize("name", ["a.mha", "a.nrrd", "a.h5", "a.nii"])
def test_full_disk_leaves_nothing_behind(child_environment, tmp_path, name):
    code = f"""
import resource, sys, numpy as np
from optreg.errors import OutputError
from optreg.io.fields import write_field
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    write_field({str(tmp_path / name)!r}, np.ones((3, 20, 20, 20)), None, format="itk")
except OutputError as err:
    print(err)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=child_environment
    )
    assert f"{name}: cannot be written" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == []


# --- FSL --------------------------------------------------------------------------------------


RIGHT = Grid((10, 11, 12), np.array([[2.0, 0, 0, -9], [0, 3, 0, 5], [0, 0, 4, 1], [0, 0, 0, 1]]))
LEFT = Grid((30, 20, 25), np.array([[-1.0, 0, 0, 40], [0, 1, 0, 0], [0, 0, 2, -3], [0, 0, 0, 1]]))


def fsl_warp(tmp_path, values, affine):
    image = nib.Nifti1Image(values.astype(np.float32), affine)
    image.header["intent_code"] = 2006
    nib.save(image, tmp_path / "warp.nii.gz")
    return tmp_path / "warp.nii.gz"


def test_first_axis_of_fsl_counts_from_the_other_end_where_the_determinant_is_positive(tmp_path):
    values = np.zeros((*RIGHT.shape, 3))
    values[..., 0], values[..., 1], values[..., 2] = 2, 3, -4
    field = read_field(fsl_warp(tmp_path, values, RIGHT.affine), None, RIGHT)
    # 2 mm towards the other end are one voxel back; 3 mm one voxel on, -4 mm one voxel back.
    assert_allclose(field.disp[:, 4, 5, 6], [-1, 1, -1], atol=1e-6)
    flipped = Grid(RIGHT.shape, RIGHT.affine @ np.diag([-1, 1, 1, 1]))
    field = read_field(fsl_warp(tmp_path, values, flipped.affine), None, flipped)
    assert_allclose(field.disp[:, 4, 5, 6], [1, 1, -1], atol=1e-6)


def test_warp_without_intent_is_of_fsl_only_if_that_is_said(tmp_path):
    values = np.zeros((*RIGHT.shape, 3), np.float32)
    values[..., 0] = 2
    nib.save(nib.Nifti1Image(values, RIGHT.affine), tmp_path / "a.nii")
    assert_allclose(read_field(tmp_path / "a.nii", RIGHT, RIGHT).disp[:, 4, 5, 6], [2, 0, 0])
    said = read_field(tmp_path / "a.nii", RIGHT, RIGHT, format="fsl")
    assert_allclose(said.disp[:, 4, 5, 6], [-1, 0, 0], atol=1e-6)


def test_fsl_between_images_of_opposite_handedness(tmp_path):
    # Voxel (4, 5, 6) of the fixed image: world (-1, 20, 25), FSL ((9-4)*2, 5*3, 6*4), that is
    # (10, 15, 24).
    # Warp (21, -5, -2): FSL (31, 10, 22) of the moving image, whose first axis is not flipped:
    # voxel (31, 10, 11), world (9, 10, 19). Moved by (10, -10, -6) mm: (5, -10/3, -1.5) voxels.
    values = np.zeros((*RIGHT.shape, 3))
    values[..., 0], values[..., 1], values[..., 2] = 21, -5, -2
    field = read_field(fsl_warp(tmp_path, values, RIGHT.affine), None, LEFT)
    assert_allclose(field.disp[:, 4, 5, 6], [5, -10 / 3, -1.5], atol=1e-5)
    assert_allclose(field.to_points([[4, 5, 6]]), [[31, 10, 11]], atol=1e-5)
    # And the other way: the identity of the world, at the same voxel. World (-1, 20, 25) is voxel
    # (41, 20, 14) of the moving image, FSL (41, 20, 28): a displacement of (31, 5, 4).
    path = write_field(tmp_path / "i.nii", 0 * field.disp, RIGHT, LEFT, format="fsl")
    image = nib.load(path)
    assert_allclose(image.get_fdata()[4, 5, 6], [31, 5, 4], atol=1e-5)
    assert image.get_data_dtype() == np.float32 and int(image.header["intent_code"]) == 2006
    path = write_field(tmp_path / "p.nii", 0 * field.disp, RIGHT, LEFT, format="fsl-abs")
    assert_allclose(nib.load(path).get_fdata()[4, 5, 6], [41, 20, 28], atol=1e-5)


def test_flirt_by_hand(tmp_path):
    # From the moving to the fixed image, in FSL's mm: the inverse of the map above at every voxel.
    (tmp_path / "a.mat").write_text("1 0 0 -31\n0 1 0 -5  \n0 0 1 -4\n0 0 0 1\n\n")
    affine = read_transform(tmp_path / "a.mat", RIGHT, LEFT, format="flirt")
    # x: fixed FSL 18 - 2i, moving i' = 49 - 2i, world 40 - 49 + 2i = -9 + 2i: where it was.
    # y: 3j + 5 = world; z: 4k + 4 mm is voxel 2k + 2, world 4k + 1: where it was.
    assert_allclose(affine.matrix, np.eye(4), atol=1e-12)


def test_fsl_needs_the_moving_grid_and_says_what_is_no_field(tmp_path):
    path = fsl_warp(tmp_path, np.zeros((*RIGHT.shape, 3)), RIGHT.affine)
    with pytest.raises(InputError, match="depends on the moving image"):
        read_field(path, RIGHT)
    (tmp_path / "a.mat").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    with pytest.raises(InputError, match="depends on both images"):
        read_transform(tmp_path / "a.mat", RIGHT, format="flirt")
    with pytest.raises(InputError, match="depends on both images"):
        write_transform(tmp_path / "b.mat", Affine.identity(), format="flirt")
    with pytest.raises(InputError, match="a bare 4x4 matrix; name its format"):
        read_transform(tmp_path / "a.mat", RIGHT, LEFT)
    assert sorted(os.listdir(tmp_path)) == ["a.mat", "warp.nii.gz"]


# --- positions or displacements ------------------------------------------------------------------


@pytest.mark.parametrize("written", ["fsl", "fsl-abs", "itk", "spm"])
def test_positions_and_displacements_are_told_apart(tmp_path, blobs, smooth_disp, written):
    path = write_field(tmp_path / "a.nii", smooth_disp, blobs.grid, format=written)
    wrong = {"fsl": "fsl-abs", "fsl-abs": "fsl", "itk": "spm", "spm": "itk"}[written]
    with pytest.raises(InputError, match=r"a\.nii: holds (positions|displacements), not"):
        read_field(path, blobs.grid, blobs.grid, format=wrong)
    right = read_field(path, blobs.grid, blobs.grid, format=written)
    assert_allclose(right.disp, smooth_disp, atol=1e-4)


def test_deformation_of_spm_is_not_taken_for_a_field_of_itk(tmp_path, blobs, smooth_disp):
    path = write_field(tmp_path / "y_a.nii", smooth_disp, blobs.grid, format="spm")
    # What SPM stores, by its definition: the mm position in the moving image of each voxel.
    stored = nib.load(path).get_fdata()[20, 24, 22, 0]
    vox = np.array([20, 24, 22]) + smooth_disp[:, 20, 24, 22]
    assert_allclose(stored, nib.affines.apply_affine(blobs.grid.affine, vox), atol=1e-4)
    with pytest.raises(InputError, match="holds positions, not displacements"):
        read_field(path)


def test_grid_of_torch_is_no_displacement(tmp_path, blobs, smooth_disp):
    path = write_field(tmp_path / "a.npz", smooth_disp, blobs.grid, format="torch")
    displacements = write_field(tmp_path / "b.npz", smooth_disp, blobs.grid, format="npz")
    assert_allclose(read_field(path, blobs.grid, format="torch").disp, smooth_disp, atol=1e-4)
    with np.load(displacements) as archive:
        np.save(tmp_path / "c.npy", np.moveaxis(archive["arr_0"], 0, -1) / 20)
    with pytest.raises(InputError, match="holds displacements, not positions"):
        read_field(tmp_path / "c.npy", blobs.grid, format="torch")


@pytest.mark.parametrize("format", ["torch", "torch-aligned"])
def test_torch_archive_must_be_named(tmp_path, blobs, smooth_disp, format):
    path = write_field(tmp_path / "a.npz", smooth_disp, blobs.grid, format=format)
    other = {"torch": "torch-aligned", "torch-aligned": "torch"}[format]
    for wrong in (None, "npz", other):
        with pytest.raises(InputError, match=rf"a\.npz: is a grid of torch .*--from {format}, or"):
            read_field(path, blobs.grid, format=wrong)
    assert_allclose(read_field(path, blobs.grid, format=format).disp, smooth_disp, atol=1e-4)
    # Files of others: what the caller says.
    with np.load(path) as archive:
        assert archive.files == [f"align_corners_{str(format == 'torch-aligned').lower()}"]
        (values,) = archive.values()
    np.savez(tmp_path / "b.npz", values[None])
    np.savez(tmp_path / "c.npz", grid=values)
    for theirs in ("b.npz", "c.npz"):
        read = read_field(tmp_path / theirs, blobs.grid, format=format)
        assert_allclose(read.disp, smooth_disp, atol=1e-4)


# --- what does not fit ----------------------------------------------------------------------------


def test_files_that_could_be_anything_ask_for_a_format(tmp_path, oblique_grid):
    np.save(tmp_path / "a.npy", np.zeros((*oblique_grid.shape, 3)))
    with pytest.raises(InputError, match="a bare array may hold anything"):
        read_field(tmp_path / "a.npy", oblique_grid)
    assert not read_field(tmp_path / "a.npy", oblique_grid, format="npz").disp.any()
    with pytest.raises(InputError, match="format 'afni' does not exist; use one of l2r"):
        read_field(tmp_path / "a.npy", oblique_grid, format="afni")
    with pytest.raises(InputError, match="format fsl has no such ending"):
        read_field(tmp_path / "a.npy", oblique_grid, format="fsl")
    with pytest.raises(InputError, match="a grid of torch has"):
        np.save(tmp_path / "b.npy", np.zeros((4, 4, 4)))
        read_field(tmp_path / "b.npy", format="torch")


@pytest.mark.parametrize("format", ["flirt", "ras"])
@pytest.mark.parametrize(
    "text", ["", "1 0 0\n", "1 0 0 x\n" * 4, "1 0 0 0\n" * 5, "0 0 0 0\n" * 4, "\xff\xfe"]
)
def test_damaged_matrix(tmp_path, oblique_grid, format, text):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.txt: ") as caught:
        read_transform(path, oblique_grid, oblique_grid, format=format)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("format", "name"), [("flirt", "a.mat"), ("ras", "a.txt"), ("itk", "a.tfm")]
)
def test_field_is_not_written_as_an_affine(tmp_path, blobs, smooth_disp, format, name):
    field = DisplacementField(smooth_disp, blobs.grid)
    with pytest.raises(InputError, match="is no affine"):
        write_transform(tmp_path / name, field, format=format)
    with pytest.raises(OutputError, match="end"):
        write_transform(tmp_path / "a.png", field, format="itk")
    with pytest.raises(InputError, match="give the fixed image"):
        write_transform(tmp_path / "a.nii", Affine.identity(), format="l2r")
    assert os.listdir(tmp_path) == []


# Not HDF5: the library in SimpleITK 2.5 may run forever on a file with a flipped byte.
FLIPPED = [(format, name) for format, name in AFFINES if not name.endswith(".h5")]


@settings(max_examples=100, suppress_health_check=QUIET)
@given(
    st.integers(0, 100_000),
    st.integers(1, 255),
    st.sampled_from([("torch", "f.npy"), ("fsl", "f.nii.gz"), *FLIPPED]),
)
def test_flipped_byte_gives_an_error_or_a_transform(tmp_path, position, mask, how):
    format, name = how
    grid = Grid.identity((8, 9, 10))
    affine = small_affine(3)
    transform = affine.to_displacement(grid) if name.startswith("f") else affine
    path = write_transform(tmp_path / name, transform, grid, grid, format=format, overwrite=True)
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] ^= mask
    path.write_bytes(raw)
    try:
        again = read_transform(path, grid, grid, format=format)
    except InputError as err:
        assert "\n" not in str(err)
        return
    assert isinstance(again, (Affine, DisplacementField))


@pytest.mark.parametrize(("format", "name"), AFFINES)
def test_affine_that_was_cut_is_never_read_as_another(tmp_path, format, name, oblique_grid):
    affine = small_affine(3)
    given = {"fixed_grid": oblique_grid, "moving_grid": oblique_grid, "format": format}
    path = write_transform(tmp_path / name, affine, **given)
    raw, read = path.read_bytes(), 0
    # HDF5 is read in a process of its own, as damaged files crash its library: fewer of those.
    count = 40 if path.suffix == ".h5" else 200
    for length in range(1, len(raw), max(1, len(raw) // count)):
        path.write_bytes(raw[:length])
        try:
            again = read_transform(path, **given)
        except InputError:
            continue
        read += 1
        assert_allclose(again.matrix, affine.matrix, atol=1e-6)
    assert read < count / 10
