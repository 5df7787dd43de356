"""What goes wrong with an image before it is registered: intensities, masks, storage, position.

Every function returns another image and leaves its input alone; the background stays 0. Sizes are
in mm, seeds make random parts repeatable. The sizes in use are those of published simulations where
there are any: BrainWeb (Cocosco et al. 1997) has noise of 1 to 9 % and bias fields of 20 and 40 %.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from benchmark import resampled
from optreg import Image
from optreg.transform import Affine

_AXIS = np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0)
"""Of rotations: none of the array axes."""
_DIRECTION = np.array([2.0, -1.0, 2.0]) / 3.0
"""Of shifts."""


def _changed(image: Image, data: np.ndarray) -> Image:
    """Image with other intensities in its foreground; a voxel that was foreground stays so."""
    foreground = image.data > 0
    smallest = 1e-3 * float(image.data.max())
    return replace(image, data=np.where(foreground, np.maximum(data, smallest), 0).astype("f4"))


def _top(image: Image) -> float:
    """Intensity of the brightest tissue."""
    return float(np.percentile(image.data[image.data > 0], 99))


def scaled(image: Image, factor: float) -> Image:
    """Every intensity times a number, as from another scanner."""
    return replace(image, data=image.data.astype(np.float32) * np.float32(factor))


def with_gamma(image: Image, gamma: float) -> Image:
    """``top * (x / top)^gamma``: contrast moves towards bright (below 1) or dark tissue."""
    top = _top(image)
    return _changed(image, top * (image.data.astype(np.float64) / top) ** gamma)


def with_offset(image: Image, share: float) -> Image:
    """A constant, given as a share of the brightest tissue, on the foreground alone."""
    return _changed(image, image.data + share * _top(image))


def with_bias(image: Image, strength: float, seed: int = 0) -> Image:
    """Multiplied by a polynomial of degree 2 that spans 1 -+ ``strength / 2`` in the foreground."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij", sparse=True)
    powers = [(a, b, c) for a in range(3) for b in range(3) for c in range(3) if 0 < a + b + c < 3]
    field = np.zeros(image.shape)
    for power, weight in zip(powers, rng.standard_normal(len(powers)), strict=True):
        x, y, z = (axis**n for axis, n in zip(axes, power, strict=True))
        field += weight * x * y * z
    inside = field[image.data > 0]
    low, high = inside.min(), inside.max()
    unit = 2 * (field - low) / (high - low) - 1
    return _changed(image, image.data * (1 + strength / 2 * unit))


def with_noise(image: Image, share: float, seed: int = 0) -> Image:
    """Rician noise, its deviation given as a share of the brightest tissue; none outside."""
    rng = np.random.default_rng(seed)
    real, imaginary = share * _top(image) * rng.standard_normal((2, *image.shape))
    return _changed(image, np.hypot(image.data + real, imaginary))


def with_thick_slices(image: Image, slice_mm: float) -> Image:
    """As measured in thick slices along the last array axis, interpolated back linearly."""
    count = max(1, round(slice_mm / image.grid.spacing[2]))
    foreground = (image.data > 0).astype(np.float64)
    total, share = (
        ndimage.uniform_filter1d(v * foreground, count, axis=2, mode="constant")
        for v in (image.data, 1.0)
    )
    mean = np.divide(total, share, out=np.zeros_like(total), where=share > 1e-9)
    middles = np.arange(count // 2, image.shape[2], count)
    position = np.interp(np.arange(image.shape[2]), middles, np.arange(len(middles)))
    where = np.meshgrid(*(np.arange(n) for n in image.shape[:2]), position, indexing="ij")
    filled = mean[:, :, middles]
    known = (share[:, :, middles] > 1e-9).astype(np.float64)
    value, weight = (ndimage.map_coordinates(v, where, order=1) for v in (filled * known, known))
    return _changed(image, np.divide(value, weight, out=mean.copy(), where=weight > 1e-9))


def eroded(image: Image, depth_mm: float) -> Image:
    """A brain mask that is too small: everything this close to the background is lost."""
    inside = ndimage.distance_transform_edt(image.data > 0, sampling=image.grid.spacing)
    return replace(image, data=np.where(inside > depth_mm, image.data, 0))


def with_rim(image: Image, width_mm: float, seed: int = 0) -> Image:
    """A brain mask that is too large: patches of what lies around, over half of the surface.

    Scans come without what was around the brain, so its intensities are made up: dura, fluid and
    marrow as smooth noise about 0.4 of the brightest tissue.
    """
    rng = np.random.default_rng(seed)
    background = image.data <= 0
    distance = ndimage.distance_transform_edt(background, sampling=image.grid.spacing)
    patches, texture = (
        ndimage.gaussian_filter(rng.standard_normal(image.shape), mm / image.grid.spacing)
        for mm in (12.0, 1.5)
    )
    rim = background & (distance <= width_mm) & (patches > 0)
    values = _top(image) * np.clip(0.4 + 0.15 * texture / texture.std(), 0.05, 1.0)
    return replace(image, data=np.where(rim, values, image.data).astype(np.float32))


def with_hole(image: Image, radius_mm: float) -> tuple[Image, np.ndarray]:
    """A ball around the rightmost foreground voxel is lost; also its centre in RAS mm."""
    voxels = np.argwhere(image.data > 0)
    world = image.grid.voxel_to_world(voxels)
    centre = world[world[:, 0].argmax()]
    lost = voxels[np.linalg.norm(world - centre, axis=1) <= radius_mm]
    data = image.data.copy()
    data[tuple(lost.T)] = 0
    return replace(image, data=data), centre


def cut(image: Image, depth_mm: float, from_below: bool = True) -> tuple[Image, float]:
    """A field of view that ends inside the brain; also the height in RAS mm at which it does.

    Parameters
    ----------
    image : Image
        Its array axes are close to those of the world.
    depth_mm : float
        Height of the part of the foreground that is lost.
    from_below : bool
        Lose the lowest part, else the highest.
    """
    axis = int(np.abs(image.grid.directions[2]).argmax())
    upwards = image.grid.directions[2, axis] > 0
    used = np.flatnonzero((image.data > 0).any(axis=tuple(a for a in range(3) if a != axis)))
    count = round(depth_mm / image.grid.spacing[axis])
    start = from_below == upwards
    kept = slice(used[0] + count, None) if start else slice(None, used[-1] + 1 - count)
    slices = tuple(kept if a == axis else slice(None) for a in range(3))
    grid = image.grid.crop(slices)  # type: ignore[arg-type]
    low, high = grid.bounds_mm[:, 2]
    return replace(image, data=image.data[slices], grid=grid), low if from_below else high


def stored_as(image: Image, axes: str) -> Image:
    """The same volume at the same place, with array axes that point as the letters say."""
    import nibabel as nib

    target = nib.orientations.axcodes2ornt(tuple(axes))
    change = nib.orientations.ornt_transform(nib.io_orientation(image.grid.affine), target)
    data = np.ascontiguousarray(nib.apply_orientation(image.data, change))
    affine = image.grid.affine @ nib.orientations.inv_ornt_aff(change, image.shape)
    return replace(image, data=data, grid=type(image.grid)(data.shape, affine))


def motion(image: Image, degrees: float = 0.0, shift_mm: float = 0.0) -> Affine:
    """Rotation about the middle of the foreground and a shift, of the world."""
    centre = image.grid.voxel_to_world(np.array(ndimage.center_of_mass(image.data > 0)))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * _AXIS).as_matrix()
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + shift_mm * _DIRECTION
    return Affine(matrix)


def moved(image: Image, change: Affine) -> Image:
    """The image elsewhere: only its header says so, no voxel is touched."""
    grid = type(image.grid)(image.shape, change.matrix @ image.grid.affine)
    return replace(image, grid=grid)


def without_origin(image: Image) -> tuple[Image, Affine]:
    """A header whose origin is lost, 0; also the shift of the world that this is."""
    change = np.eye(4)
    change[:3, 3] = -image.grid.affine[:3, 3]
    shift = Affine(change)
    return moved(image, shift), shift


def at_resolution(image: Image, voxel_mm: float) -> Image:
    """Cubic voxels of another size over the same field of view.

    Larger voxels average what is in them: a Gaussian of the width of the new voxel, in the
    foreground alone, so that the rim of the brain does not fade.
    """
    width = voxel_mm / image.grid.spacing
    if (width <= 1).all():
        return resampled(image, voxel_mm)
    sigma = np.sqrt(np.maximum(width**2 - 1, 0)) / (2 * np.sqrt(2 * np.log(2)))
    mask = (image.data > 0).astype(np.float32)
    total, share = (
        ndimage.gaussian_filter(v, sigma) for v in (image.data.astype(np.float32), mask)
    )
    mean = np.divide(total, share, out=np.zeros_like(total), where=share > 1e-3)
    coarse, inside = (resampled(replace(image, data=v), voxel_mm) for v in (mean, share))
    return replace(coarse, data=np.where(inside.data > 0.5, coarse.data, 0).astype(np.float32))
