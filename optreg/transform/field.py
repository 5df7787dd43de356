"""Displacement fields in the one convention used inside the package."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optreg.errors import ConfigError, GeometryError, InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.intensities import looks_like_labels
from optreg.kernels import get_backend
from optreg.transform.itk import (
    LPS,
    lps_geometry,
    lps_to_affine,
    own_transform,
    vector_image,
)
from optreg.transform.sampling import (
    displacement_at,
    map_field,
    outside,
    rotate,
    thickened,
    warp_labels_linear,
)

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["DisplacementField", "Interpolation"]

_log = logging.getLogger("optreg")

Interpolation = Literal["auto", "linear", "nearest", "label"]
_Volume = TypeVar("_Volume", Image, NDArray[Any])


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """Dense map from the fixed to the moving image: ``warped(x) = moving(x + disp(x))``.

    Parameters
    ----------
    disp : (3, X, Y, Z) ndarray
        Displacements in voxels of `fixed_grid`, components in array axis order. Stored as float32.
    fixed_grid : Grid
        Where the displacements are given.
    moving_grid : Grid, optional
        Grid of the moving image, if it is another one. `disp` stays in voxels of the fixed grid
        then, that is, it is a displacement in the world; the change of grid is applied on top.

    Raises
    ------
    InputError
        Shape or type is wrong, or a displacement is NaN or infinite.
    """

    disp: NDArray[np.float32]
    fixed_grid: Grid
    moving_grid: Grid | None = None

    def __post_init__(self) -> None:
        disp = np.asarray(self.disp)
        if disp.shape != (3, *self.fixed_grid.shape):
            raise InputError(
                f"displacement field of shape {disp.shape}; {(3, *self.fixed_grid.shape)} is needed"
            )
        if disp.dtype.kind not in "iuf":
            raise InputError(f"displacement field of type {disp.dtype}; real numbers are needed")
        with np.errstate(over="ignore"):
            disp = np.ascontiguousarray(disp, np.float32)
        if not np.isfinite(disp).all():
            count = int((~np.isfinite(disp)).sum())
            raise InputError(f"displacement field holds {count} NaN or infinite values")
        object.__setattr__(self, "disp", disp)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.fixed_grid.shape))
        spacing = "x".join(f"{size:.3g}" for size in self.fixed_grid.spacing)
        return f"DisplacementField({shape} voxels of {spacing} mm)"

    @classmethod
    def identity(cls, fixed_grid: Grid, moving_grid: Grid | None = None) -> DisplacementField:
        """The field that moves nothing in the world."""
        return cls(np.zeros((3, *fixed_grid.shape), np.float32), fixed_grid, moving_grid)

    @classmethod
    def from_mm(
        cls, vectors: NDArray[Any], fixed_grid: Grid, moving_grid: Grid | None = None
    ) -> DisplacementField:
        """Field of displacements (3, X, Y, Z) in RAS mm on `fixed_grid`."""
        inverse = np.linalg.inv(fixed_grid.affine[:3, :3])
        with np.errstate(over="ignore", invalid="ignore"):  # judged by the constructor
            return cls(rotate(inverse, vectors), fixed_grid, moving_grid)

    def to_mm(self) -> NDArray[np.float32]:
        """(3, X, Y, Z) displacements in RAS mm."""
        return rotate(self.fixed_grid.affine[:3, :3], self.disp)

    @property
    def source_grid(self) -> Grid:
        """Grid of the moving image."""
        return self.fixed_grid if self.moving_grid is None else self.moving_grid

    def apply(
        self,
        image: _Volume,
        interpolation: Interpolation = "auto",
        fill: float | None = 0.0,
    ) -> _Volume:
        """Resample a moving image onto the fixed grid, in one interpolation.

        Parameters
        ----------
        image : Image or (X, Y, Z) ndarray
            An Image may be on any grid of the moving world; an array is on the moving grid.
        interpolation : {"auto", "linear", "nearest", "label"}
            "auto": "label" for what `optreg.intensities.looks_like_labels` takes for a label map,
            which a warning says, and "linear" for the rest. "linear" for intensities. "nearest" for
            anything that must not be averaged. "label" for label maps: the label that linear
            interpolation gives the largest share, with smoother borders than "nearest".
        fill : float or None
            Value where the moving image has none; None repeats its edge.

        Returns
        -------
        Image or (X, Y, Z) ndarray
            As given; "linear" gives float32, the others keep the type.

        Raises
        ------
        GeometryError
            An array that does not have the shape of the moving grid.
        """
        if isinstance(image, Image):
            how = _chosen(interpolation, image.data, image.name)
            data = self._sample(image.data, image.grid, how, fill)
            return Image(data, self.fixed_grid, image.name)
        if image.shape != self.source_grid.shape:
            raise GeometryError(
                f"array of shape {image.shape}; the moving grid has {self.source_grid.shape}"
            )
        how = _chosen(interpolation, image, "")
        return self._sample(image, self.source_grid, how, fill)

    def to_points(self, points_vox: ArrayLike) -> NDArray[np.float64]:
        """(N, 3) voxel positions in the moving image of voxel positions in the fixed one.

        The field is interpolated linearly; outside its grid the value at the edge holds.
        """
        return self.source_grid.world_to_voxel(self._points_to_world(points_vox))

    def to_points_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """(N, 3) RAS mm in the moving image of RAS mm positions in the fixed one."""
        return self._points_to_world(self.fixed_grid.world_to_voxel(points_mm))

    def compose(self, other: DisplacementField) -> DisplacementField:
        """First `other`, then this one: ``self(other(x))``, on the fixed grid of `other`.

        ``a.compose(b).apply(image)`` is ``b.apply(a.apply(image))`` with one interpolation instead
        of two. The grids may differ; the two are joined in the world.
        """
        cpu = get_backend("cpu").kernels
        if self.fixed_grid.same_as(other.fixed_grid):
            joined = cpu.compose(thickened(self.disp), other.disp)
            return DisplacementField(joined, other.fixed_grid, self.moving_grid)
        onto_self = other.fixed_grid.matrix_to(self.fixed_grid)
        # x -> position in this grid -> moved there -> back to voxels of the other grid.
        inner = map_field(onto_self, other.disp)
        moved = inner + cpu.warp(thickened(self.disp), inner)
        # `moved` counts from x, so the way back is an affine map of x + moved(x).
        joined = map_field(np.linalg.inv(onto_self), moved)
        return DisplacementField(joined, other.fixed_grid, self.source_grid)

    def resample_to(self, fixed_grid: Grid) -> DisplacementField:
        """The same map between the worlds, given on another fixed grid."""
        return self.compose(DisplacementField.identity(fixed_grid))

    def invert(
        self, initial: DisplacementField | None = None, **settings: Any
    ) -> DisplacementField:
        """Map from the moving to the fixed world, on this fixed grid.

        Parameters
        ----------
        initial : DisplacementField, optional
            Where the iteration starts, e.g. the inverse of a similar field.
        **settings
            ``iterations`` and ``tolerance`` (voxels) of the kernel `invert`.
        """
        if initial is not None and not initial.fixed_grid.same_as(self.fixed_grid):
            raise GeometryError("initial inverse is on another grid; use resample_to first")
        start = None if initial is None else thickened(initial.disp)
        cpu = get_backend("cpu").kernels
        inverse = cpu.invert(thickened(self.disp), initial=start, **settings)
        return DisplacementField(self._on_grid(inverse), self.fixed_grid)

    def jacobian(self) -> NDArray[np.float32]:
        """(X, Y, Z) local change of volume: central-difference determinant, 1 where none."""
        cpu = get_backend("cpu").kernels
        return self._on_grid(cpu.jacobian_determinant(thickened(self.disp)))

    def _on_grid(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Volume (..., X, Y, Z) of what was thickened, on the grid itself."""
        x, y, z = self.fixed_grid.shape
        return volume[..., :x, :y, :z]

    def to_sitk(self) -> sitk.DisplacementFieldTransform:
        """The map as a SimpleITK transform (LPS mm), for ``sitk.Resample`` and others."""
        import SimpleITK as sitk

        vectors = self.to_mm().astype(np.float64)
        return sitk.DisplacementFieldTransform(vector_image(vectors, self.fixed_grid.affine))

    @classmethod
    def from_sitk(
        cls,
        transform: sitk.Transform,
        fixed_grid: Grid | None = None,
        moving_grid: Grid | None = None,
    ) -> DisplacementField:
        """Field of any SimpleITK transform of 3-D points.

        Parameters
        ----------
        transform : SimpleITK.Transform
            A displacement field keeps its own grid; anything else is evaluated at each voxel.
        fixed_grid : Grid, optional
            Grid of the fixed image, for transforms without one of their own.
        moving_grid : Grid, optional
            Grid of the moving image, if it is another one.

        Raises
        ------
        InputError
            Not 3-D, not finite, or without a grid.
        """
        import SimpleITK as sitk

        transform = own_transform(transform)
        space = 1
        if isinstance(transform, sitk.DisplacementFieldTransform):
            image = transform.GetDisplacementField()
        elif fixed_grid is None:
            raise InputError("a transform without a grid of its own; give the fixed image")
        else:
            space = fixed_grid.space
            spacing, origin, direction = lps_geometry(fixed_grid.affine)
            image = sitk.TransformToDisplacementField(
                transform, sitk.sitkVectorFloat64, fixed_grid.shape, origin, spacing, direction
            )
        affine = lps_to_affine(image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        vectors = sitk.GetArrayFromImage(image).transpose(3, 2, 1, 0) * LPS[:, None, None, None]
        return cls.from_mm(vectors, Grid(image.GetSize(), affine, space), moving_grid)

    def voxels_of(self, grid: Grid) -> NDArray[np.float32]:
        """Displacements (3, X, Y, Z) from voxels of the fixed grid to voxels of another one.

        With those of the grid of the moving image, an array is sampled without its geometry,
        ``moving[x + disp(x)]``, as the evaluation of the Learn2Reg challenges does it. See
        `between_voxels` for the way back.
        """
        if grid.same_as(self.fixed_grid):
            return self.disp
        return map_field(self.fixed_grid.matrix_to(grid), self.disp)

    @classmethod
    def between_voxels(
        cls, disp: NDArray[Any], fixed_grid: Grid, moving_grid: Grid | None
    ) -> DisplacementField:
        """Field of displacements from voxels of the fixed to voxels of the moving image.

        Parameters
        ----------
        disp : (3, X, Y, Z) ndarray
            As `voxels_of` the moving grid gives them.
        fixed_grid : Grid
        moving_grid : Grid or None
            None where it is that of the fixed image.
        """
        field = cls(disp, fixed_grid, moving_grid)
        if moving_grid is None or moving_grid.same_as(fixed_grid):
            return field
        return cls(
            map_field(moving_grid.matrix_to(fixed_grid), field.disp), fixed_grid, moving_grid
        )

    def _points_to_world(self, points_vox: ArrayLike) -> NDArray[np.float64]:
        points = np.asarray(points_vox, float)
        if points.ndim != 2 or points.shape[1] != 3:
            raise InputError(f"points of shape {points.shape}; (N, 3) is needed")
        return self.fixed_grid.voxel_to_world(points + displacement_at(self.disp, points))

    def _sample(
        self, data: NDArray[Any], grid: Grid, interpolation: Interpolation, fill: float | None
    ) -> NDArray[Any]:
        disp = self.voxels_of(grid)
        cpu = get_backend("cpu").kernels
        if interpolation == "linear":
            out = cpu.warp(thickened(_plain(data).astype(np.float32, copy=False)), disp)
        elif interpolation == "nearest":
            out = cpu.warp_nearest(thickened(_plain(data)), disp)
        elif interpolation == "label":
            out = warp_labels_linear(thickened(_plain(data)), disp)
        else:
            raise ConfigError(
                f"interpolation '{interpolation}' does not exist; use auto, linear, nearest or "
                "label"
            )
        if fill is not None:
            if min(data.shape) == min(self.fixed_grid.shape) == 1:
                # What one slice shows of another does not end across their planes.
                disp = disp * (np.array(data.shape) > 1).astype(np.float32)[:, None, None, None]
            out[outside(disp, data.shape)] = fill
        return out


def _chosen(interpolation: Interpolation, data: NDArray[Any], name: str) -> Interpolation:
    """The interpolation that "auto" is for this volume."""
    if interpolation != "auto":
        return interpolation
    if not looks_like_labels(data):
        return "linear"
    _log.warning(
        "%s: looks like a label map and is warped as one; choose the interpolation label to say "
        "that it is, or linear if it is not",
        name or "array",
    )
    return "label"


def _plain(data: NDArray[Any]) -> NDArray[Any]:
    """`data` as compiled code can take it: contiguous, native byte order, no half floats."""
    if data.dtype.kind not in "biuf":
        raise InputError(f"volume of type {data.dtype}; real numbers are needed")
    dtype = np.dtype(np.float32) if data.dtype == np.float16 else data.dtype.newbyteorder("=")
    return np.ascontiguousarray(data, dtype)
