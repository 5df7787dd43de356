"""A small picture of a registration that shows at a glance whether it is any good."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from optreg import plot
from optreg.lines import isolines
from optreg.report.pictures import _coloured, _grey, _resized, jpeg_file
from optreg.views import PLANES, Plane, Views, tissue_levels

__all__ = ["THUMBNAIL_PX", "thumbnail"]

THUMBNAIL_PX = (420, 150)
"""Width and height of every thumbnail: tables do not move while pictures load."""

_TILES = 3
# One scale for all pairs: what is bright in one thumbnail of a table is as wrong in another.
_DIFFERENCE_TOP = 0.5
_NOTHING = 0.02
# Lines are drawn this many times larger and shrunk: the drawing library has no smooth ones.
_FINER = 3
# Images are a little dimmed: lines are lighter than the lightest tissue.
_BRIGHTEST = 0.85
_SMOOTHING_PX = 0.8
_QUALITY = 70
# Another plane is shown where it has this many times the pixels of the axial one: a thick stack
# is looked at in the plane it was taken in.
_MORE_TO_SEE = 2


def thumbnail(views: Views) -> bytes:
    """Draw one slice: the fixed image, the warped one, and what is left of their difference.

    Outlines of the fixed image are drawn on both images. The difference has one scale in all
    thumbnails, so that those of many pairs can be compared.

    Parameters
    ----------
    views : Views
        What `optreg.views.collect` returned.

    Returns
    -------
    bytes
        A JPEG file of `THUMBNAIL_PX` pixels.

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    """
    plot.drawing_library()

    plane = _plane(views)
    index = views.fullest(plane)
    width, height = THUMBNAIL_PX[0] // _TILES, THUMBNAIL_PX[1]
    extent = np.array([views.fixed.shape[a] * views.spacing[a] for a in _axes(plane)])
    size = np.maximum(np.rint(extent * min([width, height] / extent)), 2).astype(int)

    def tile(volume: NDArray[Any]) -> NDArray[np.float32]:
        return _resized(plane.picture(volume, index), *size)

    fixed, inside = tile(views.fixed), tile(views.inside)
    lines = _outlines(fixed, inside > 0.5)
    warped = tile(views.warped)
    # Where both images show nothing, a difference says how intensities were mapped, no more.
    after = np.where((inside > 0.5) | (warped > _NOTHING), tile(views.after), 0)
    tiles = _outlined(fixed, lines), _outlined(warped, lines), _coloured(after, _DIFFERENCE_TOP)
    pixels = np.zeros((height, _TILES * width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    for number, drawn in enumerate(tiles):
        pixels[top : top + size[1], number * width + left :][:, : size[0]] = drawn
    return jpeg_file(pixels, quality=_QUALITY)


def _axes(plane: Plane) -> tuple[int, int]:
    return plane.across, plane.upward


def _plane(views: Views) -> Plane:
    def pixels(plane: Plane) -> int:
        return int(np.prod([views.fixed.shape[a] for a in _axes(plane)]))

    first, *others = views.planes or PLANES
    most = max(others, key=pixels, default=first)
    return most if pixels(most) > _MORE_TO_SEE * pixels(first) else first


def _outlines(picture: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How much of each pixel is covered by an outline, 0 to 1."""
    from PIL import Image as Picture
    from PIL import ImageDraw

    # Levels of this slice: those of the whole volume take ten times as long as all the rest.
    levels = tissue_levels(picture, inside)
    height, width = picture.shape
    drawn = Picture.new("L", (_FINER * width, _FINER * height))
    pen = ImageDraw.Draw(drawn)
    for line in isolines(ndimage.gaussian_filter(picture.T, _SMOOTHING_PX), levels):
        pen.line(((line + 0.5) * _FINER).ravel().tolist(), fill=255, width=_FINER)
    return np.asarray(drawn.reduce(_FINER), np.float32) / np.float32(255)


def _outlined(picture: NDArray[np.float32], lines: NDArray[np.float32]) -> NDArray[np.uint8]:
    from PIL import ImageColor

    color = np.array(ImageColor.getrgb(plot.FIXED_COLOUR), np.float32)
    gray = _BRIGHTEST * _grey(picture)[..., None].astype(np.float32)
    return (gray + lines[..., None] * (color - gray) + 0.5).astype(np.uint8)
