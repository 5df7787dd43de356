"""Label maps: read, checked, and brought onto the grid of an image."""

from __future__ import annotations

import logging

from optreg.errors import GeometryError
from optreg.grid import Grid
from optreg.image import Image, as_label_map
from optreg.io.files import PathLike
from optreg.io.images import load_image
from optreg.transform import DisplacementField

__all__ = ["load_labels", "on_grid", "onto_grid", "require_overlap"]

_log = logging.getLogger("optreg")


def load_labels(path: PathLike) -> Image:
    """Read a label map.

    Raises
    ------
    InputError
        See `load_image`; or it holds something else than whole numbers from 0.
    """
    image = load_image(path)
    return Image(as_label_map(image.data, f"{path}: labels"), image.grid, image.name)


def on_grid(image: Image, grid: Grid, what: str) -> Image:
    """`onto_grid`, where the two have a place in common.

    Raises
    ------
    GeometryError
        They have none.
    """
    require_overlap(image, grid, what)
    return onto_grid(image, grid, what)


def require_overlap(image: Image, grid: Grid, what: str) -> None:
    """Raise the GeometryError for an image that lies outside of the field of view of `grid`."""
    if not image.grid.overlaps(grid):
        raise GeometryError(
            f"{image.name}: lies outside of {what}; check which image it belongs to"
        )


def onto_grid(image: Image, grid: Grid, what: str) -> Image:
    """`image` on `grid`: itself where it is there already, else resampled by nearest neighbor."""
    if image.grid.same_as(grid, tolerance=1e-2):
        return image
    _log.warning("%s: is on another grid than %s; resampled by nearest neighbor", image.name, what)
    return DisplacementField.identity(grid, image.grid).apply(image, "nearest")
