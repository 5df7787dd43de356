"""Affine transforms between two worlds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

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

__all__ = ["Affine", "AffineParts"]

_Volume = TypeVar("_Volume", Image, NDArray[Any])


class AffineParts(NamedTuple):
    """An affine taken apart: ``matrix = rotation @ shear @ diag(scale)``, and a translation.

    Attributes
    ----------
    rotation_deg : tuple of 3 float
        Angles about the x, the y and the z axis, in this order: ``Rz @ Ry @ Rx``.
    scale : tuple of 3 float
        Along x, y, z of the fixed image; the first is negative where the map mirrors.
    shear : tuple of 3 float
        xy, xz, yz: the upper triangle of a matrix with ones on its diagonal.
    translation_mm : tuple of 3 float
        By which the map moves a point.
    volume : float
        How many times as large it makes a volume.
    """

    rotation_deg: tuple[float, float, float]
    scale: tuple[float, float, float]
    shear: tuple[float, float, float]
    translation_mm: tuple[float, float, float]
    volume: float


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

    def parts(self, center_mm: ArrayLike = (0.0, 0.0, 0.0)) -> AffineParts:
        """Rotation, scale, shear and translation, as FSL's avscale has them.

        Parameters
        ----------
        center_mm : (3,) array_like
            RAS mm of the fixed image: `translation_mm` is that of this point.

        References
        ----------
        Jenkinson and Smith 2001, doi 10.1016/S1361-8415(01)00036-6 (parametrization of FLIRT).
        """
        from scipy.spatial.transform import Rotation

        linear = self.matrix[:3, :3]
        rotation, upper = np.linalg.qr(linear)
        # Scales are positive but for the first, and the rotation is one.
        signs = np.sign(np.diag(upper))
        signs[0] *= np.linalg.det(rotation * signs)
        rotation, upper = rotation * signs, signs[:, None] * upper
        scale = np.diag(upper)
        shear = upper / scale
        center = np.asarray(center_mm, float)
        angles = Rotation.from_matrix(rotation).as_euler("xyz", degrees=True)
        moved = self.to_points_mm(center[None])[0] - center
        return AffineParts(
            _three(angles),
            _three(scale),
            _three(shear[[0, 0, 1], [1, 2, 2]]),
            _three(moved),
            float(np.linalg.det(linear)),
        )

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


def _three(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
