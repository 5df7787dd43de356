"""One picture of a labelled image: what it is, what it was labelled as, how sure that is."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from optreg.image import Image
from optreg.io.files import check_writable, write_atomic
from optreg.plot import drawing_library
from optreg.transform.canonical import Canonical
from optreg.views import Plane, foreground, planes_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["label_colours", "save_segmentation", "segmentation_figure"]

_COLUMNS = ("image", "labels", "agreement")
_TILE_INCH = 2.6
_OPACITY = 0.6
# A turn of the colour circle that never comes back: neighbours in the list look different.
_GOLDEN = (np.sqrt(5) - 1) / 2


def label_colours(labels: NDArray[Any]) -> NDArray[np.float32]:
    """(..., 4) colours of labels, 0 to 1: the same for a number in every picture, 0 see-through."""
    drawing_library()
    from matplotlib.colors import hsv_to_rgb

    numbers, index = np.unique(labels, return_inverse=True)
    hue = np.mod(numbers * _GOLDEN, 1.0)
    saturation = 0.55 + 0.45 * np.mod(numbers * _GOLDEN**2, 1.0)
    table = np.ones((len(numbers), 4), np.float32)
    table[:, :3] = hsv_to_rgb(np.stack([hue, saturation, np.ones_like(hue)], axis=-1))
    table[:, 3] = np.where(numbers == 0, 0, _OPACITY)
    return table[index.reshape(labels.shape)]


def segmentation_figure(
    target: Image, labels: NDArray[Any], agreement: NDArray[np.float32], title: str
) -> Figure:
    """Draw a labelled image: a row a plane; the image, labels on it, agreement of what is labelled.

    Parameters
    ----------
    target : Image
    labels : (X, Y, Z) integer ndarray
    agreement : (X, Y, Z) ndarray
        0 to 1.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        With an Agg canvas.

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    """
    drawing_library()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    way = Canonical(target.grid)
    inside = foreground(np.asarray(target.data))
    found = ndimage.find_objects(way.volume(inside | (labels != 0)).astype(np.uint8))
    box = found[0] if found and found[0] is not None else (slice(None),) * 3
    image, numbers, sure = (way.volume(v)[box] for v in (target.data, labels, agreement))
    scale = np.percentile(target.data[inside], [0.5, 99.5]) if inside.any() else (0.0, 1.0)
    planes = planes_of(image.shape)
    heights = [image.shape[p.upward] * way.grid.spacing[p.upward] for p in planes]
    width = max(image.shape[p.across] * way.grid.spacing[p.across] for p in planes)
    size = (_TILE_INCH * len(_COLUMNS), _TILE_INCH * sum(heights) / width + 0.7)
    figure = Figure(figsize=size, facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, color="white", fontsize=11)
    places = figure.add_gridspec(len(planes), len(_COLUMNS), height_ratios=heights)
    for row, plane in enumerate(planes):
        index = _fullest(numbers, plane)
        shown, named = plane.picture(image, index), plane.picture(numbers, index)
        aspect = way.grid.spacing[plane.upward] / way.grid.spacing[plane.across]
        for column, name in enumerate(_COLUMNS):
            axes = figure.add_subplot(places[row, column])
            axes.imshow(shown, cmap="gray", vmin=scale[0], vmax=scale[1], aspect=aspect)
            if name == "labels":
                axes.imshow(label_colours(named), interpolation="nearest", aspect=aspect)
            elif name == "agreement":
                masked = np.ma.masked_array(plane.picture(sure, index), named == 0)
                drawn = axes.imshow(masked, cmap="viridis", vmin=0, vmax=1, aspect=aspect)
            axes.set_axis_off()
            if row == 0:
                axes.set_title(name, color="white", fontsize=9.5)
            if column == 0:
                axes.text(0, 0.5, plane.left, color="white", transform=axes.transAxes, fontsize=7)
                axes.text(0.5, 0.95, plane.top, color="white", transform=axes.transAxes, fontsize=7)
    bar = figure.colorbar(drawn, ax=figure.axes, orientation="horizontal", shrink=0.4, pad=0.01)
    bar.ax.tick_params(colors="white", labelsize=7)
    bar.set_label("share of the votes", color="white", fontsize=7)
    return figure


def save_segmentation(
    path: str | os.PathLike[str],
    target: Image,
    labels: NDArray[Any],
    agreement: NDArray[np.float32],
    *,
    title: str = "",
    overwrite: bool = False,
    dpi: int = 130,
) -> Path:
    """Write `segmentation_figure` to a PNG file, whole or not at all.

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    OutputError
        The file exists and `overwrite` is not set, or it cannot be written.
    """
    check_writable(path, overwrite)
    picture = io.BytesIO()
    segmentation_figure(target, labels, agreement, title).savefig(picture, dpi=dpi, format="png")
    return write_atomic(path, [picture.getbuffer()], overwrite)


def _fullest(labels: NDArray[Any], plane: Plane) -> int:
    """Slice half-way through what is labelled."""
    others = tuple(a for a in range(3) if a != plane.axis)
    filled = np.flatnonzero((labels != 0).any(axis=others))
    return int(filled[len(filled) // 2]) if filled.size else labels.shape[plane.axis] // 2
