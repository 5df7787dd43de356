"""The axes of an array brought into right, front, top order, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.grid import Grid

__all__ = ["Canonical"]


class Canonical:
    """The way from the array order of a grid to right-front-top order (the closest axes).

    Parameters
    ----------
    grid : Grid

    Attributes
    ----------
    order : tuple of int
        Array axis that goes to the right, to the front and to the top.
    grid : Grid
        The same voxels in that order.
    """

    def __init__(self, grid: Grid):
        code = grid.orientation
        self.order = tuple(
            next(axis for axis, letter in enumerate(code) if letter in pair)
            for pair in ("RL", "AP", "SI")
        )
        self._flips = tuple(slice(None, None, -1 if code[a] in "LPI" else 1) for a in self.order)
        self._signs = np.array([f.step for f in self._flips], np.float32).reshape(3, 1, 1, 1)
        x, y, z = (self._flips[self.order.index(axis)] for axis in range(3))
        turned = grid.crop((x, y, z))
        affine = turned.affine.copy()
        affine[:3, :3] = affine[:3, list(self.order)]
        nx, ny, nz = (turned.shape[axis] for axis in self.order)
        self.grid = replace(grid, shape=(nx, ny, nz), affine=affine)

    def volume(self, data: NDArray[Any]) -> NDArray[Any]:
        """(X, Y, Z) in array order to a canonical view of it."""
        return data.transpose(self.order)[self._flips]

    def field(self, disp: NDArray[Any]) -> NDArray[np.float32]:
        """(3, X, Y, Z) displacements in voxels, components in canonical order too."""
        turned = disp[list(self.order)].transpose(0, *(1 + axis for axis in self.order))
        return np.ascontiguousarray(turned[(slice(None), *self._flips)] * self._signs, np.float32)

    def field_back(self, disp: NDArray[Any]) -> NDArray[np.float32]:
        """The inverse of `field`."""
        stored = [self.order.index(axis) for axis in range(3)]
        turned = (disp * self._signs)[(slice(None), *self._flips)][stored]
        back = turned.transpose(0, *(1 + axis for axis in stored))
        return np.ascontiguousarray(back, np.float32)
