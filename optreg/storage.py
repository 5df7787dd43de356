"""Images in any order of axes: registered in one order, so that storage changes nothing.

Windows that are skipped along two axes, coarse grids that start at one corner and steps that are
made axis by axis would otherwise give another field for the same image stored otherwise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from optreg.image import Image
from optreg.inputs import Inputs
from optreg.result import Registration
from optreg.transform import DisplacementField
from optreg.transform.canonical import Canonical

__all__ = ["canonical_of", "is_canonical", "stored_of"]


def is_canonical(inputs: Inputs) -> bool:
    """Whether the array axes of all images go to the right, the front and the top."""
    return all(i.grid.orientation == "RAS" for i in (*inputs.fixed, *inputs.moving))


def canonical_of(inputs: Inputs) -> Inputs:
    """The same with all images, and the start, in right-front-top order; `inputs` if they are."""
    if is_canonical(inputs):
        return inputs
    way, start = Canonical(inputs.fixed[0].grid), inputs.start
    if start is not None:
        start = DisplacementField(way.field(start.disp), way.grid)
    still = (k for k, axis in enumerate(way.order) if axis in inputs.still_axes)
    return replace(
        inputs,
        fixed=tuple(_reordered(image) for image in inputs.fixed),
        moving=tuple(_reordered(image) for image in inputs.moving),
        start=start,
        still_axes=tuple(still),
    )


def stored_of(result: Registration, inputs: Inputs) -> Registration:
    """Result for the images as they are stored of the result for the reordered ones."""
    way = Canonical(inputs.fixed[0].grid)
    return replace(
        result,
        disp=way.field_back(result.disp),
        inverse=way.field_back(result.inverse),
        fixed=inputs.fixed[0],
        moving=inputs.moving[0],
    )


def _reordered(image: Image) -> Image:
    way = Canonical(image.grid)
    return Image(np.ascontiguousarray(way.volume(image.data)), way.grid, image.name)
