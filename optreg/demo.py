"""A pair of brain images whose true deformation is known, made without any download.

The MNI152 template that the wheel of nilearn carries (1 mm, skull-stripped, with tissue maps) is
deformed by a smooth random diffeomorphism. The registration is then judged by what no real pair
offers: the distance, in every voxel, between the found displacement and the true one.

The direction matters. ``warped(x) = moving(x + disp(x))``, so the template itself is the MOVING
image and the FIXED image is the template sampled at ``x + truth(x)``: the answer is `truth`
itself, known exactly on the fixed grid, with no inversion in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from optreg.errors import ConfigError
from optreg.grid import Grid
from optreg.image import Image
from optreg.transform import DisplacementField

__all__ = ["TISSUES", "DemoPair", "make_pair", "true_error_mm"]

TISSUES = {1: "cerebrospinal fluid", 2: "grey matter", 3: "white matter"}
"""Values of the label maps."""

# Standard deviations (mm) of the noise that makes up the velocity, and its share at each scale:
# whole-lobe shifts, differences between gyri, and detail near what the template's own blur shows.
_SCALES_MM = ((28.0, 1.0), (13.0, 1.0), (8.0, 0.9))
# The velocity lives on a grid of this spacing; its finest scale is twice as wide.
_COARSE_MM = 4.0
_MARGIN_MM = 12.0
_SQUARINGS = 7


@dataclass(frozen=True, eq=False)
class DemoPair:
    """Two images, their tissue labels, and the displacement that relates them.

    Attributes
    ----------
    fixed, moving : Image
        float32 intensities on the same grid, zero outside the brain. They differ in contrast
        curve, shading and noise as two scanners would.
    fixed_labels, moving_labels : Image
        uint8, 0 background and the keys of `TISSUES`.
    truth : (3, X, Y, Z) float32 ndarray
        True displacement, voxels, on the fixed grid: ``fixed(x) ~ moving(x + truth(x))``.
    """

    fixed: Image
    moving: Image
    fixed_labels: Image
    moving_labels: Image
    truth: NDArray[np.float32]


def make_pair(*, factor: int = 1, largest_mm: float = 10.0, seed: int = 0) -> DemoPair:
    """Make the demonstration pair.

    Parameters
    ----------
    factor : int
        Voxel size in mm: the 1 mm template is averaged over blocks of that many voxels.
    largest_mm : float
        Length of the longest true displacement, mm (to a few per cent).
    seed : int
        Of the random deformation, shading and noise; equal seeds give equal images.

    Returns
    -------
    DemoPair

    Raises
    ------
    ConfigError
        nilearn is not installed, or `factor` or `largest_mm` has no meaning.
    """
    if factor < 1 or not 0 <= largest_mm <= 20:
        raise ConfigError(
            f"demo pair of factor {factor} and {largest_mm} mm; use factor >= 1 and 0 to 20 mm"
        )
    head, soft, grid = _template(factor)
    rng = np.random.default_rng(seed)
    truth = _random_diffeomorphism(grid, largest_mm, rng)
    field = DisplacementField(truth, grid)
    fixed_labels = _harden(np.stack([field.apply(tissue, "linear", fill=None) for tissue in soft]))
    moving_labels = _harden(soft)
    sampled = _sample_inside(head, truth, fixed_labels > 0)
    fixed = 255 * _noisy(np.clip(sampled, 0, 1), 0.012, rng)
    moving = 900 * _noisy(_other_scanner(head, grid, rng), 0.02, rng)
    return DemoPair(
        fixed=_image(fixed * (fixed_labels > 0), grid, "demo fixed"),
        moving=_image(moving * (moving_labels > 0), grid, "demo moving"),
        fixed_labels=Image(fixed_labels, grid, "demo fixed labels"),
        moving_labels=Image(moving_labels, grid, "demo moving labels"),
        truth=truth,
    )


def true_error_mm(
    pair: DemoPair, disp: NDArray[np.floating[Any]] | None = None
) -> dict[str, float]:
    """Distance between a displacement and the true one over the brain of the fixed image.

    Parameters
    ----------
    pair : DemoPair
    disp : (3, X, Y, Z) array, optional
        Displacement to judge, voxels, on the fixed grid; none stands for no registration.

    Returns
    -------
    dict
        ``mean_mm``, ``p95_mm`` (95th percentile) and ``max_mm``.
    """
    brain = pair.fixed_labels.data > 0
    rest = pair.truth[:, brain] if disp is None else disp[:, brain] - pair.truth[:, brain]
    spacing = pair.fixed.grid.spacing.astype(np.float32)
    distance = np.sqrt(((rest * spacing[:, None]) ** 2).sum(axis=0))
    return {
        "mean_mm": float(distance.mean()),
        "p95_mm": float(np.percentile(distance, 95)),
        "max_mm": float(distance.max()),
    }


def _template(factor: int) -> tuple[NDArray[np.float32], NDArray[np.float32], Grid]:
    """Return the template (0..1), its soft tissue maps (4, X, Y, Z) and their grid, cropped."""
    try:
        from nilearn import datasets
    except ImportError as err:
        raise ConfigError(
            "the demo needs the template that nilearn carries; pip install 'optreg[demo]'"
        ) from err
    picture = datasets.load_mni152_template(resolution=1)
    head = np.asarray(picture.dataobj, np.float32)
    grey = np.asarray(datasets.load_mni152_gm_template(resolution=1).dataobj, np.float32)
    white = np.asarray(datasets.load_mni152_wm_template(resolution=1).dataobj, np.float32)
    brain = np.asarray(datasets.load_mni152_brain_mask(resolution=1).dataobj, np.float32)
    brain = np.maximum(brain, np.clip(grey + white, 0, 1))
    # Each voxel's shares of background, fluid, grey and white matter.
    soft = np.stack([1 - brain, np.clip(brain - grey - white, 0, 1), grey, white])
    box = _box_around(brain > 0.5, int(round(_MARGIN_MM)), factor)
    nx, ny, nz = head.shape
    grid = Grid((nx, ny, nz), picture.affine).crop(box).downsample(factor)
    head, soft = head[box] * (brain[box] > 0), soft[(slice(None), *box)]
    return _block_mean(head[None], factor)[0], _block_mean(soft, factor), grid


def _box_around(mask: NDArray[np.bool_], margin: int, factor: int) -> tuple[slice, slice, slice]:
    """Slices of the box of a mask plus a margin, each a whole number of blocks long."""
    slices = []
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        start = max(int(inside[0]) - margin, 0)
        stop = min(int(inside[-1]) + 1 + margin, mask.shape[axis])
        slices.append(slice(start, stop - (stop - start) % factor))
    return slices[0], slices[1], slices[2]


def _block_mean(volumes: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    c, nx, ny, nz = volumes.shape
    blocks = volumes.reshape(c, nx // factor, factor, ny // factor, factor, nz // factor, factor)
    return blocks.mean(axis=(2, 4, 6), dtype=np.float32)


def _random_diffeomorphism(
    grid: Grid, largest_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Exponential of a smooth random velocity: (3, X, Y, Z) float32 voxels of `grid`.

    The velocity is integrated by scaling and squaring (Arsigny et al. 2006,
    doi 10.1007/11866565_113) on a coarse grid, where that takes a moment, and the displacement is
    brought to the full grid by cubic splines, which keep it twice differentiable.
    """
    extent = np.array(grid.shape) * grid.spacing
    shape = np.ceil(extent / _COARSE_MM).astype(int) + 1
    velocity = np.zeros((3, *(int(n) for n in shape)))
    for sigma, share in _SCALES_MM:
        noise = rng.standard_normal(velocity.shape)
        for axis in range(3):
            smooth = ndimage.gaussian_filter(noise[axis], sigma / _COARSE_MM, mode="reflect")
            velocity[axis] += share * smooth / smooth.std()
    # Fading to zero at the border keeps every true position inside the image.
    for axis, n in enumerate(shape):
        edge = np.minimum(np.arange(n), np.arange(n)[::-1]) * _COARSE_MM / (2 * _MARGIN_MM)
        along = [-1 if a == axis else 1 for a in range(3)]
        velocity *= np.sin(np.pi / 2 * np.minimum(edge, 1)).reshape(along) ** 2
    velocity *= largest_mm / _COARSE_MM / np.sqrt((velocity**2).sum(axis=0)).max()
    for _ in range(2 if largest_mm > 0 else 0):
        longest = np.sqrt((_exponential(velocity) ** 2).sum(axis=0)).max() * _COARSE_MM
        velocity *= largest_mm / longest
    in_voxels = (_COARSE_MM / grid.spacing).reshape(3, 1, 1, 1)
    fine = (_exponential(velocity) * in_voxels).astype(np.float32)
    # The same as at each voxel by itself: a spline of three variables is a product of three.
    for axis, spacing in enumerate(grid.spacing):
        positions = np.arange(grid.shape[axis]) * spacing / _COARSE_MM
        weights = [
            ndimage.map_coordinates(one, positions[None], order=3, mode="nearest")
            for one in np.eye(fine.shape[1 + axis])
        ]
        longer = np.tensordot(np.array(weights, np.float32), fine, (0, 1 + axis))
        fine = np.moveaxis(longer, 0, 1 + axis)
    return np.ascontiguousarray(fine)


def _exponential(velocity: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    disp = velocity / 2**_SQUARINGS
    here = np.indices(velocity.shape[1:], dtype=float)
    for _ in range(_SQUARINGS):
        there = here + disp
        disp = disp + np.stack(
            [ndimage.map_coordinates(u, there, order=3, mode="nearest") for u in disp]
        )
    return disp


def _sample_inside(
    volume: NDArray[np.float32], disp: NDArray[np.float32], mask: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """``volume(x + disp(x))`` where the mask is, by cubic splines: about as sharp as `volume`."""
    out = np.zeros_like(volume)
    positions = np.argwhere(mask).T + disp[:, mask]
    out[mask] = ndimage.map_coordinates(volume, positions, order=3, mode="nearest")
    return out


def _harden(soft: NDArray[np.float32]) -> NDArray[np.uint8]:
    return soft.argmax(axis=0).astype(np.uint8)


def _other_scanner(
    head: NDArray[np.float32], grid: Grid, rng: np.random.Generator
) -> NDArray[np.floating[Any]]:
    """Another contrast curve (monotone) and the shading that bias correction leaves: about 5 %."""
    curve = np.maximum(head, 0) ** 0.7
    axes = [
        np.linspace(-1, 1, n).reshape([-1 if a == i else 1 for a in range(3)])
        for i, n in enumerate(grid.shape)
    ]
    a, b, c, d = rng.uniform(-0.05, 0.05, 4)
    x, y, z = axes
    return curve * np.exp(a * x + b * y + c * z + d * (x**2 + y**2 + z**2 - 1))


def _noisy(
    image: NDArray[np.floating[Any]], level: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Magnitude image of a complex signal with Gaussian noise of standard deviation `level`."""
    real = image + level * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = level * rng.standard_normal(image.shape, dtype=np.float32)
    return np.hypot(real, imaginary).astype(np.float32)


def _image(data: NDArray[np.floating[Any]], grid: Grid, name: str) -> Image:
    return Image(np.ascontiguousarray(data, dtype=np.float32), grid, name)
