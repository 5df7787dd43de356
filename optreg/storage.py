"""Images in any order of axes: registered in one order, so that storage changes nothing.

Windows that are skipped along two axes, coarse grids that start at one corner and steps that are
made axis by axis would otherwise give another field for the same image stored otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from optreg.grid import Grid
from optreg.image import Image
from optreg.inputs import Inputs, read_start
from optreg.kernels import Backend
from optreg.result import Registration
from optreg.transform import DisplacementField

__all__ = ["canonical_of", "is_canonical", "stored_of"]


def is_canonical(inputs: Inputs) -> bool:
    """Whether the array axes of the fixed image go to the right, the front and the top."""
    return inputs.fixed[0].grid.orientation == "RAS"


def canonical_of(inputs: Inputs, backend: Backend) -> Inputs:
    """The same with all images, and the start, in right-front-top order."""
    way, start = _Way(inputs.fixed[0].grid), read_start(inputs, backend)
    if start is not None:
        start = DisplacementField(way.field(start.disp), way.grid)
    still = (k for k, axis in enumerate(way.order) if axis in inputs.still_axes)
    return replace(
        inputs,
        fixed=tuple(_reordered(image) for image in inputs.fixed),
        moving=tuple(_reordered(image) for image in inputs.moving),
        init=start,
        still_axes=tuple(still),
    )


def stored_of(result: Registration, inputs: Inputs) -> Registration:
    """Result for the images as they are stored of the result for the reordered ones."""
    way = _Way(inputs.fixed[0].grid)
    return replace(
        result,
        disp=way.back(result.disp),
        inverse=way.back(result.inverse),
        fixed=inputs.fixed[0],
        moving=inputs.moving[0],
    )


def _reordered(image: Image) -> Image:
    way = _Way(image.grid)
    return Image(np.ascontiguousarray(way.volume(image.data)), way.grid, image.name)


class _Way:
    """From the order of a grid's axes to right, front, top, and back.

    Attributes
    ----------
    order : tuple of int
        Array axis that goes to the right, the front and the top.
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
        turned = grid.crop(tuple(self._flips[self.order.index(a)] for a in range(3)))  # type: ignore[arg-type]
        affine = turned.affine.copy()
        affine[:3, :3] = affine[:3, list(self.order)]
        x, y, z = (turned.shape[axis] for axis in self.order)
        self.grid = Grid((x, y, z), affine)
        self._signs = np.array([f.step for f in self._flips], np.float32).reshape(3, 1, 1, 1)

    def volume(self, data: NDArray[np.generic]) -> NDArray[np.generic]:
        """(X, Y, Z) in the new order."""
        return data.transpose(self.order)[self._flips]

    def field(self, disp: NDArray[np.float32]) -> NDArray[np.float32]:
        """(3, X, Y, Z) voxels, components in the new order too."""
        turned = disp[list(self.order)].transpose(0, *(axis + 1 for axis in self.order))
        return np.ascontiguousarray(turned[(slice(None), *self._flips)] * self._signs)

    def back(self, disp: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `field`."""
        turned = (disp * self._signs)[(slice(None), *self._flips)]
        old = [self.order.index(axis) for axis in range(3)]
        return np.ascontiguousarray(turned[old].transpose(0, *(k + 1 for k in old)))
