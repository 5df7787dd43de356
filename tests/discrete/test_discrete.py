"""Known displacements that are far outside the reach of a continuous start."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from optreg.config import DiscreteConfig
from optreg.discrete import search
from optreg.discrete.consistency import make_consistent, to_full_resolution, without_folds
from optreg.discrete.cost_volume import confidence
from optreg.discrete.coupled_convex import search_grid, solve_discrete
from optreg.features.mind import pooled_mind
from optreg.kernels import get_backend

BACKEND = get_backend("cpu")
SHAPE = (76, 84, 72)
CENTRE = (np.array(SHAPE).reshape(3, 1, 1, 1) - 1) / 2


def blobs():
    """Noise of several scales: no two places look alike, unlike in a periodic texture."""
    noise = np.random.default_rng(4)
    return sum(
        ndimage.gaussian_filter(noise.standard_normal(SHAPE), sigma) * sigma**1.5
        for sigma in (2.0, 3.5, 6.0)
    )


def phantom(position):
    """A textured ellipsoid at any positions, 0 outside."""
    apart = position - CENTRE
    radius = np.sqrt(((apart / np.array([23.0, 27, 21]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
    texture = ndimage.map_coordinates(TEXTURE, position, order=3, mode="nearest")
    return (np.clip((1 - radius) * 6, 0, 1) * np.clip(texture, 0.1, 1)).astype(np.float32)


TEXTURE = 0.5 + 0.18 * blobs() / np.std(blobs())
IDENTITY = np.indices(SHAPE).astype(float)
FIXED = phantom(IDENTITY)
HEAD = ndimage.binary_erosion(FIXED > 0.05, iterations=3)


def translation():
    return np.broadcast_to(np.array([12.0, -5.0, 7.0]).reshape(3, 1, 1, 1), (3, *SHAPE))


def smooth_field():
    """Up to 8 voxels in the head, invertible."""
    noise = np.random.default_rng(3).standard_normal((3, *SHAPE))
    disp = ndimage.gaussian_filter(noise, (0, 16, 16, 16))
    return disp * (8 / np.abs(disp[:, HEAD]).max())


def displaced(disp):
    """Moving image with ``moving(x + disp(x)) = fixed(x)``: the phantom at the inverse."""
    inverse = BACKEND.kernels.invert(np.ascontiguousarray(disp, np.float32))
    return phantom(IDENTITY + inverse)


def length(difference):
    return np.sqrt((difference**2).sum(axis=0))


def negative(image):
    """Another contrast: the brightest tissue becomes the darkest, the background stays."""
    return np.where(image > 0, 1.1 * FIXED.max() - image, 0).astype(np.float32)


@pytest.mark.parametrize("contrast", [lambda image: image, negative], ids=["same", "inverted"])
@pytest.mark.parametrize("truth", [translation, smooth_field], ids=lambda f: f.__name__)
def test_a_known_displacement_is_found(truth, contrast):
    disp = truth()
    forward, backward = solve_discrete([FIXED], [contrast(displaced(disp))], BACKEND)
    assert forward.shape == (3, *SHAPE) and forward.dtype == np.float32
    error = length(forward - disp)[HEAD]
    before = length(disp)[HEAD].mean()
    assert before > 4
    # Below the grid spacing of 4 voxels. A translation leaves the rounding to whole grid steps.
    assert error.mean() < (2.0 if truth is translation else 3.0)
    assert error.mean() < 0.65 * before
    assert np.percentile(error, 95) < (2.0 if truth is translation else 6.0)
    assert BACKEND.kernels.minimum_determinant(forward).min() > 0
    residual = length(BACKEND.kernels.compose(backward, forward))[HEAD]
    assert residual.mean() < 0.01


def test_identity():
    forward, backward = solve_discrete([FIXED], [FIXED], BACKEND)
    assert np.abs(forward).max() < 0.05
    assert np.abs(backward).max() < 0.05


def test_swapping_the_images_swaps_the_fields():
    moving = displaced(smooth_field())
    _, backward = solve_discrete([FIXED], [moving], BACKEND)
    other_forward, _ = solve_discrete([moving], [FIXED], BACKEND)
    assert length(other_forward - backward)[HEAD].mean() < 0.3


def test_channels_see_what_one_does_not():
    disp = smooth_field()
    moving = displaced(disp)
    outlines = [(image > 0.05).astype(np.float32) for image in (FIXED, moving)]
    alone, _ = solve_discrete(outlines[:1], outlines[1:], BACKEND)
    together, _ = solve_discrete([outlines[0], FIXED], [outlines[1], moving], BACKEND)
    errors = [length(forward - disp)[HEAD].mean() for forward in (together, alone)]
    assert errors[0] < 0.8 * errors[1]


def test_ready_features_are_used():
    moving = displaced(translation())
    config = DiscreteConfig(mind_radius=2, mind_dilation=1)
    ready = tuple(pooled_mind(v, 4, BACKEND, 2, 1) for v in (FIXED, moving))
    expected = solve_discrete([FIXED], [moving], BACKEND, config)
    flat = np.zeros_like(FIXED)
    for one, other in zip(
        solve_discrete([flat], [flat], BACKEND, config, ready), expected, strict=True
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("shape", "grid"), [((8, 8, 8), 4), ((9, 21, 14), 2), ((8, 30, 8), 8)])
def test_small_and_odd_sizes(shape, grid):
    rng = np.random.default_rng(0)
    images = rng.random((2, *shape), dtype=np.float32)
    config = DiscreteConfig(grid_vox=grid, radius=2)
    fields = solve_discrete(*([i] for i in images), BACKEND, config)
    for field in fields:
        assert field.shape == (3, *shape) and np.isfinite(field).all()
    assert BACKEND.kernels.minimum_determinant(fields[0]).min() > 0


def test_background_follows_what_is_near_and_does_not_pull():
    # One textured half moves by two steps; the other half is flat and could go anywhere.
    fixed = np.zeros((1, 16, 10, 10), np.float32)
    fixed[0, 2:8, 2:8, 2:8] = np.random.default_rng(0).random((6, 6, 6))
    moving = np.roll(fixed, 2, axis=2)
    found = search_grid(fixed, moving, 3, DiscreteConfig().couplings, BACKEND)
    assert np.allclose(found[:, 3:7, 3:7, 3:7], np.array([0, 2, 0]).reshape(3, 1, 1, 1), atol=0.1)
    weight = confidence(BACKEND.kernels.cost_volume(fixed, moving, 3), BACKEND)
    assert weight[13:].max() == pytest.approx(1e-3)
    assert weight.max() == pytest.approx(1) and weight[3:7, 3:7, 3:7].min() > 0.05


def test_consistency_iterations_make_inverses_of_each_other():
    rng = np.random.default_rng(0)
    forward, backward = (
        ndimage.gaussian_filter(rng.standard_normal((3, 16, 15, 14)), (0, 3, 3, 3)) * 8
        for _ in range(2)
    )
    forward, backward = forward.astype(np.float32), backward.astype(np.float32)
    before = length(BACKEND.kernels.compose(backward, forward)).mean()
    after = length(BACKEND.kernels.compose(*make_consistent(forward, backward, BACKEND)))
    assert after.mean() < 0.02 * before


def test_upsampling_keeps_a_linear_field():
    spacing, cells = 4, (8, 9, 10)
    centres = np.indices(cells) * spacing + (spacing - 1) / 2
    slope = np.array([[0.1, 0.02, 0], [0, -0.05, 0.03], [0.01, 0, 0.2]])
    coarse = (np.tensordot(slope, centres, 1) / spacing).astype(np.float32)
    shape = (31, 36, 38)  # not all of the last cells
    full = to_full_resolution(coarse, shape, spacing, BACKEND)
    expected = np.tensordot(slope, np.indices(shape), 1)
    inside = (slice(None), *[slice(9, -9)] * 3)
    assert np.abs(full - expected)[inside].max() < 1e-4


def test_folds_are_smoothed_away():
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.standard_normal((3, 20, 20, 20)), (0, 2, 2, 2))
    folded = (20 * noise / noise.std()).astype(np.float32)
    assert BACKEND.kernels.minimum_determinant(folded).min() < 0
    assert BACKEND.kernels.minimum_determinant(without_folds(folded, 2.0, BACKEND)).min() > 0.1
    fine = (0.02 * folded / 20).astype(np.float32)
    assert without_folds(fine, 2.0, BACKEND) is fine


def test_searches_where_foregrounds_hardly_overlap():
    config = DiscreteConfig(radius=2)
    assert search([FIXED], [FIXED], config, BACKEND) is None
    apart = np.roll(FIXED, 8, axis=1)
    found, _ = search([FIXED], [apart], config, BACKEND)
    assert 4 < found[1][HEAD].mean() < 12
    off = DiscreteConfig(enabled="off")
    assert search([FIXED], [apart], off, BACKEND) is None


@pytest.mark.parametrize("who", [0, 1])
def test_what_an_image_does_not_show_is_not_missed(who):
    """A field of view that ends in the object, or a mask, is no reason to search."""
    images, regions = [FIXED, FIXED], [None, None]
    shown = np.zeros(SHAPE, np.float32)
    shown[:, :40] = 1
    images[who], regions[who] = FIXED * shown, shown
    assert search(images[:1], images[1:], DiscreteConfig(), BACKEND, tuple(regions)) is None
    assert search(images[:1], images[1:], DiscreteConfig(radius=1), BACKEND) is not None
