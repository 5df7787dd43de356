"""What the three numbers of a voxel mean in a format, and their conversion to ours and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.transform import DisplacementField
from optreg.transform.sampling import affine_displacement, rotate

__all__ = ["Frame", "require_finite"]

# What is left of positions when the image's own coordinates are taken away, relative to what was
# there: next to nothing. Of displacements, more than there was. The limit leaves room for
# displacements between arrays of different orientation, which can be large.
_LARGEST_REST = 0.1
_SAMPLES_PER_AXIS = 24


@dataclass(frozen=True, eq=False)
class Frame:
    """Convention of a format: ``stored(x) = end(x + disp(x)) - start(x)`` at every voxel x.

    Parameters
    ----------
    fixed_grid : Grid
        Where the numbers are given.
    end : (4, 4) ndarray
        From voxel positions of the fixed grid to the coordinates of the format, in the image that
        is moved into.
    start : (4, 4) ndarray, optional
        The same in the fixed image; None where positions are stored, not displacements.
    moving_grid : Grid, optional
        Grid of the moving image, if it is another one.
    """

    fixed_grid: Grid
    end: NDArray[np.float64]
    start: NDArray[np.float64] | None = None
    moving_grid: Grid | None = None

    def decode(self, stored: NDArray[Any]) -> DisplacementField:
        """Field of stored numbers (X, Y, Z, 3).

        Raises
        ------
        InputError
            NaN, another shape, or positions where displacements are due, or the other way round.
        """
        if stored.shape != (*self.fixed_grid.shape, 3):
            raise InputError(
                f"field of shape {stored.shape}; {(*self.fixed_grid.shape, 3)} is needed"
            )
        require_finite(stored)
        self._require_kind(stored)
        back = np.linalg.inv(self.end)
        with np.errstate(over="ignore", invalid="ignore"):  # judged by the constructor
            disp = rotate(back[:3, :3], np.moveaxis(stored, -1, 0))
            disp += affine_displacement(back @ self._start, self.fixed_grid.shape)
        return DisplacementField(disp, self.fixed_grid, self.moving_grid)

    def encode(self, disp: NDArray[np.float32]) -> NDArray[np.float32]:
        """(X, Y, Z, 3) numbers to store for displacements (3, X, Y, Z) in voxels."""
        ramp = self.end - self._start
        ramp[:3, :3] += np.eye(3)  # affine_displacement takes x away
        ramp[3] = 0, 0, 0, 1
        stored = rotate(self.end[:3, :3], disp)
        stored += affine_displacement(ramp, self.fixed_grid.shape)
        return np.moveaxis(stored, 0, -1)

    @property
    def _start(self) -> NDArray[np.float64]:
        return np.diag([0.0, 0, 0, 1]) if self.start is None else self.start

    def _require_kind(self, stored: NDArray[Any]) -> None:
        """Refuse positions for displacements and displacements for positions, where it is plain."""
        shape = self.fixed_grid.shape
        picked = [np.unique(np.linspace(0, n - 1, _SAMPLES_PER_AXIS, dtype=int)) for n in shape]
        index = np.stack(np.meshgrid(*picked, indexing="ij")).reshape(3, -1)
        values = stored[tuple(index)].astype(np.float64)
        own = index.T @ self.end[:3, :3].T
        # Either sign, since whoever mixes up formats mixes up RAS and LPS as well.
        rest = np.minimum((values - own).var(axis=0), (values + own).var(axis=0)).sum()
        whole = values.var(axis=0).sum()
        if self.start is not None and rest < _LARGEST_REST * whole:
            raise InputError(
                "holds positions, not displacements; name its format (optreg convert --from)"
            )
        if self.start is None and whole < _LARGEST_REST * rest:
            raise InputError(
                "holds displacements, not positions; name its format (optreg convert --from)"
            )


def require_finite(values: NDArray[Any]) -> None:
    """Raise an InputError that counts the NaN and infinite values and says where the first is."""
    finite = np.isfinite(values)
    if not finite.all():
        first = tuple(int(i) for i in np.unravel_index(int(finite.argmin()), finite.shape))
        raise InputError(f"{int((~finite).sum())} NaN or infinite values, the first at {first}")
