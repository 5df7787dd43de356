"""Known maps are found: far away, in another contrast, however the images are stored."""

import json
import sys
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from itk_images import itk_image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from optreg.affine import MODELS, align
from optreg.errors import ConfigError, GeometryError, InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image
from optreg.kernels import thread_limit
from optreg.transform import Affine

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels"))
from cuda_host import backend_named

DIRECTIONS = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


@settings(max_examples=6)
@given(axis=DIRECTIONS, degrees=st.floats(0, 40), way=DIRECTIONS, shift_mm=st.floats(0, 30))
def test_rigid_motion_is_found(axis, degrees, way, shift_mm, blobs, map_about, moved_by, error_mm):
    turn = degrees * np.array(axis) / np.linalg.norm(axis)
    truth = map_about(turn, shift_mm * np.array(way) / np.linalg.norm(way))
    found = align(blobs, moved_by(truth), model="rigid")
    assert error_mm(found, truth) < 0.3


@pytest.mark.parametrize(
    "contrast", [lambda x: 1.1 - x, lambda x: 0.1 + 4 * (x - 0.5) ** 2], ids=["inverted", "folded"]
)
def test_other_contrast(contrast, blobs, map_about, moved_by, error_mm):
    truth = map_about([12, -9, 8], [5.0, -14, 20])
    found = align(blobs, moved_by(truth, contrast), model="rigid")
    assert error_mm(found, truth) < 0.5


def test_scale_and_shear_are_found(blobs, map_about, moved_by, error_mm):
    linear = [[1.1, 0.06, 0], [0, 0.93, -0.05], [0.03, 0, 1.05]]
    truth = map_about([10, 15, -5], [9.0, 2, -12], linear)
    assert error_mm(align(blobs, moved_by(truth)), truth) < 0.3


@pytest.mark.slow
def test_each_model_keeps_its_promise(blobs, map_about, moved_by):
    moving = moved_by(map_about([10, 15, -5], [9.0, 2, -12], np.diag([1.1, 0.95, 1.05])))
    linear = {m: align(blobs, moving, model=m).matrix[:3, :3] for m in MODELS}
    np.testing.assert_allclose(linear["translation"], np.eye(3), atol=1e-9)
    rigid, similar = linear["rigid"], linear["similarity"]
    np.testing.assert_allclose(rigid @ rigid.T, np.eye(3), atol=1e-9)
    scale = np.linalg.det(similar) ** (1 / 3)
    assert scale == pytest.approx((1.1 * 0.95 * 1.05) ** (1 / 3), abs=0.02)
    np.testing.assert_allclose(similar @ similar.T, scale**2 * np.eye(3), atol=1e-9)
    stretch = np.linalg.svd(linear["affine"])[1]
    np.testing.assert_allclose(stretch, [1.1, 1.05, 0.95], atol=0.01)
    moments = linear["moments"]
    assert np.count_nonzero(moments - np.diag(np.diag(moments))) == 0


def test_equal_images_give_the_identity(blobs, error_mm):
    assert error_mm(align(blobs, blobs), Affine.identity()) < 0.01


@settings(max_examples=4)
@given(
    order=st.sampled_from(list(permutations(range(3)))),
    flips=st.sampled_from(list(product((1, -1), repeat=3))),
    who=st.sampled_from(["fixed", "moving", "both"]),
)
def test_storage_does_not_matter(order, flips, who, blobs, map_about, moved_by, error_mm):
    moving = moved_by(map_about([8, -12, 5], [4.0, 10, -6]))

    def stored(image):
        grid = image.grid.crop(tuple(slice(None, None, f) for f in flips))
        data = image.data[tuple(slice(None, None, f) for f in flips)].transpose(order)
        header = grid.affine[:, [*order, 3]]
        return Image(np.ascontiguousarray(data), Grid(data.shape, header))

    pair = [
        stored(image) if who in (role, "both") else image
        for role, image in (("fixed", blobs), ("moving", moving))
    ]
    assert error_mm(align(*pair), align(blobs, moving)) < 0.05


def test_the_world_may_be_turned(blobs, map_about, error_mm):
    """A header that puts the same voxels elsewhere is undone, whatever grid that gives."""
    truth = map_about([-20, 10, 18], [-25.0, 8, 12])
    moving = Image(blobs.data, Grid(blobs.shape, truth.matrix @ blobs.grid.affine))
    assert error_mm(align(blobs, moving), truth) < 0.05


def test_bits_do_not_depend_on_threads(blobs, map_about, moved_by):
    moving = moved_by(map_about([5, 9, -12], [3.0, -7, 4]))
    found = []
    for threads in (1, None):
        with thread_limit(threads):
            found.append(align(blobs, moving).matrix)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("name", ["cuda-host", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_with_the_kernels_of_the_gpu(name, blobs, map_about, moved_by, error_mm):
    moving = moved_by(map_about([5, 9, -12], [3.0, -7, 4]))
    backend = backend_named(name)
    with backend.active():
        first, again = (align(blobs, moving, backend=backend) for _ in range(2))
    assert error_mm(first, align(blobs, moving)) < 0.02
    np.testing.assert_array_equal(first.matrix, again.matrix)


@pytest.mark.parametrize("model", [m for m in MODELS if m != "moments"])
def test_no_foreground(model, blobs):
    empty = Image(np.zeros(blobs.shape), blobs.grid, "empty.nii.gz")
    with pytest.raises(InputError, match=r"empty\.nii\.gz: no foreground"):
        align(blobs, empty, model=model)
    with pytest.raises(InputError, match="fixed: no foreground"):
        align(Image(empty.data, blobs.grid), blobs, model=model)


@pytest.mark.parametrize("model", ["rigid", "sitk-rigid", "sitk-affine"])
def test_objects_that_cannot_meet(model):
    position = np.indices((48, 48, 48)) - 23.5
    radius = np.sqrt((position**2).sum(axis=0))
    shell = ((radius > 18) & (radius < 22)).astype(np.float32)
    grid = Grid.identity((48, 48, 48))
    with pytest.raises(GeometryError, match="overlap"):
        align(Image(shell, grid), Image((radius < 3).astype(np.float32), grid), model=model)


def test_search_that_loses_the_overlap(blobs, monkeypatch):
    def execute(self, fixed, moving):
        raise RuntimeError("All samples map outside moving image buffer.")

    monkeypatch.setattr(sitk.ImageRegistrationMethod, "Execute", execute)
    with pytest.raises(GeometryError, match="moving: cannot be brought to overlap"):
        align(blobs, Image(blobs.data, blobs.grid, "moving"), model="sitk-rigid")


def test_unknown_model(blobs):
    with pytest.raises(ConfigError, match="elastic"):
        align(blobs, blobs, model="elastic")


def sitk_affine(fixed, moving, metric="MattesMutualInformation", part=0.1):
    """Affine of SimpleITK, coarse to fine, from centres of mass."""
    fixed, moving = (itk_image(i.data.astype(np.float32), i.grid) for i in (fixed, moving))
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    getattr(method, f"SetMetricAs{metric}")()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(part)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescentLineSearch(1.0, 200, 1e-7)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2, 1])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetNumberOfThreads(1)
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    return Affine.from_sitk(start)


@pytest.mark.slow
def test_synthetic_pair_as_simpleitk(blobs, map_about, moved_by, error_mm):
    truth = map_about([6, -4, 5], [6.0, -3, 8], np.diag([1.06, 0.97, 1.03]))
    moving = moved_by(truth)
    ours, theirs = align(blobs, moving), sitk_affine(blobs, moving, "MeanSquares", 1.0)
    assert error_mm(ours, theirs) < 1
    assert error_mm(ours, truth) < 0.3


@pytest.mark.slow
def test_real_pair_as_simpleitk(data_dir):
    """One person in two contrasts, so that there is one right answer; the head is turned."""
    fixed, moving = (
        load_image(data_dir / "imagesVal" / f"OASIS_1000_{contrast}.nii.gz")
        for contrast in ("0000", "0002")
    )
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(np.deg2rad([8, -6, 10])).as_matrix()
    motion[:3, 3] = 12, -20, 9
    moving = Image(moving.data, Grid(moving.shape, motion @ moving.grid.affine))
    points = fixed.grid.voxel_to_world(np.argwhere(fixed.data > 0)[::997])
    ours, theirs = (f(fixed, moving).to_points_mm(points) for f in (align, sitk_affine))
    assert np.linalg.norm(ours - theirs, axis=1).mean() < 1
    truth = Affine(motion).to_points_mm(points)
    assert np.linalg.norm(ours - truth, axis=1).max() < 0.5


@pytest.mark.slow
def test_real_pairs_are_found_from_anywhere(data_dir):
    """Two people: whatever the motion, the same map up to it."""
    pair = json.loads((data_dir / "evaluation_segmentation.json").read_text())["eval_pairs"][0]
    fixed, moving = (load_image(data_dir / pair[role]) for role in ("fixed", "moving"))
    points = fixed.grid.voxel_to_world(np.argwhere(fixed.data > 0)[::997])
    expected = align(fixed, moving).to_points_mm(points)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        axis, way = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
        motion = np.eye(4)
        motion[:3, :3] = Rotation.from_rotvec(np.deg2rad(20) * axis).as_matrix()
        motion[:3, 3] = 30 * way
        turned = Image(moving.data, Grid(moving.shape, motion @ moving.grid.affine))
        found = Affine(motion).invert().compose(align(fixed, turned)).to_points_mm(points)
        assert np.linalg.norm(found - expected, axis=1).max() < 0.05


def test_part_of_the_object_is_enough(blobs, map_about, moved_by, error_mm):
    """What lies beyond the moving image is unknown, not dark."""
    truth = map_about([6, -8, 4], [2.0, 3, -4])
    whole = moved_by(truth)
    inside = np.flatnonzero((whole.data > 0).any(axis=(0, 1)))
    cut = (slice(None), slice(None), slice(int(inside[0] + 0.3 * len(inside)), None))
    part = Image(np.ascontiguousarray(whole.data[cut]), whole.grid.crop(cut))
    assert error_mm(align(blobs, part, model="rigid"), truth) < 0.5


def test_noise_in_the_background(blobs, map_about, moved_by, error_mm, rng):
    truth = map_about([10, 8, -14], [12.0, -9, 6])
    pair = []
    for image in (blobs, moved_by(truth)):
        noise = np.abs(0.03 * rng.standard_normal(image.shape))
        pair.append(Image(ndimage.gaussian_filter(image.data, 0.3) + noise, image.grid))
    assert error_mm(align(*pair, model="rigid"), truth) < 0.5


@pytest.mark.parametrize("model", ["moments", "rigid"])
def test_traces_in_the_background_do_not_count(model, blobs, map_about, moved_by, error_mm):
    moving = moved_by(map_about([0, 0, 0], [6.0, -4, 8]))
    traces = np.random.default_rng(0).uniform(-1e-2, 1e-5, moving.shape)
    spoiled = Image(np.where(moving.data > 0, moving.data, traces), moving.grid)
    found, expected = (align(blobs, image, model=model) for image in (spoiled, moving))
    assert error_mm(found, expected) < 0.02


def test_arrays_are_images_and_paths_are_not():
    data = np.zeros((16, 16, 16), np.float32)
    data[4:10, 5:12, 3:9] = 1
    shifted = np.roll(data, 3, axis=1)
    found = align(data, Image.from_array(shifted), model="moments").matrix
    expected = align(Image.from_array(data), Image.from_array(shifted), model="moments").matrix
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(InputError, match=r"moving: a\.nii is a path; give optreg\.io\.load_image"):
        align(data, "a.nii")
    with pytest.raises(InputError, match=r"fixed: SimpleITK\.SimpleITK\.Image cannot be used"):
        align(sitk.Image(9, 9, 9, sitk.sitkFloat32), data)
