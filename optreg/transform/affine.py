"""Affine transforms between two worlds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optreg.errors import GeometryError, InputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.transform.field import DisplacementField, Interpolation
from optreg.transform.itk import LPS, matrix_of, own_transform
from optreg.transform.sampling import affine_displacement, map_field

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["Affine"]

_Volume = TypeVar("_Volume", Image, NDArray[Any])


@dataclass(frozen=True, eq=False)
class Affine:
    """Map from the fixed to the moving world.

    Parameters
    ----------
    matrix : (4, 4) array_like
        Takes RAS mm of the fixed image to RAS mm of the moving one. Kept as read-only float64.

    Raises
    ------
    GeometryError
        Not 4x4, not finite, or not invertible.
    """

    matrix: NDArray[np.float64]

    def __post_init__(self) -> None:
        try:
            # The same demands as on a grid's affine, and the same tests.
            checked = Grid((1, 1, 1), self.matrix).affine
        except GeometryError as err:
            raise GeometryError(f"transform: {err}") from err
        object.__setattr__(self, "matrix", checked)

    @classmethod
    def identity(cls) -> Affine:
        """The affine that moves nothing."""
        return cls(np.eye(4))

    def compose(self, other: Affine) -> Affine:
        """First `other`, then this one: ``self(other(x))``."""
        return Affine(self.matrix @ other.matrix)

    def after(self, field: DisplacementField) -> DisplacementField:
        """First `field`, then this one: a field on the fixed grid of `field`, not interpolated."""
        grid = field.fixed_grid
        in_voxels = np.linalg.solve(grid.affine, self.matrix @ grid.affine)
        return DisplacementField(map_field(in_voxels, field.disp), grid)

    def invert(self) -> Affine:
        """From the moving to the fixed world."""
        return Affine(np.asarray(np.linalg.inv(self.matrix), np.float64))

    def to_points_mm(self, points_mm: ArrayLike) -> NDArray[np.float64]:
        """(N, 3) RAS mm in the moving image of RAS mm positions in the fixed one."""
        return np.asarray(points_mm, float) @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def to_displacement(
        self, fixed_grid: Grid, moving_grid: Grid | None = None
    ) -> DisplacementField:
        """The same map as a displacement field on `fixed_grid`."""
        in_voxels = np.linalg.solve(fixed_grid.affine, self.matrix @ fixed_grid.affine)
        return DisplacementField(
            affine_displacement(in_voxels, fixed_grid.shape), fixed_grid, moving_grid
        )

    def apply(
        self,
        image: _Volume,
        fixed_grid: Grid,
        moving_grid: Grid | None = None,
        interpolation: Interpolation = "auto",
        fill: float | None = 0.0,
    ) -> _Volume:
        """Resample a moving image onto `fixed_grid`; see `DisplacementField.apply`."""
        return self.to_displacement(fixed_grid, moving_grid).apply(image, interpolation, fill)

    def to_sitk(self) -> sitk.AffineTransform:
        """The map as a SimpleITK transform (LPS mm)."""
        import SimpleITK as sitk

        lps = self.matrix * np.outer([*LPS, 1.0], [*LPS, 1.0])
        return sitk.AffineTransform(lps[:3, :3].ravel().tolist(), lps[:3, 3].tolist())

    @classmethod
    def from_sitk(cls, transform: sitk.Transform) -> Affine:
        """Affine of any linear SimpleITK transform of 3-D points, composites included.

        Raises
        ------
        InputError
            Not 3-D, or not linear.
        GeometryError
            Not invertible.
        """
        transform = own_transform(transform)
        if not transform.IsLinear():
            raise InputError(f"{transform.GetName()} is not linear; read it as a field")
        return cls(matrix_of(transform))
