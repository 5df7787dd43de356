"""Slices as data URIs and lines as packed numbers: everything the viewer of a report draws."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg import lines as lines_of
from optreg import plot
from optreg.views import Plane, Views, nice_limit, tissue_levels

__all__ = ["colour_bar", "difference_limit", "jpeg_file", "viewer_data"]

# A picture is never wider or higher than this: the size of the file does not depend on the scan's.
_LONGEST_PX = 288
# Positions of lines are integers of this fraction of a pixel; the value below ends a line.
_FRACTION = 32
_END = np.iinfo(np.int16).min
_JACOBIAN_STEPS = 96


def viewer_data(views: Views, count: int = 12) -> dict[str, Any]:
    """Everything the script of the report needs, ready for JSON.

    Parameters
    ----------
    views : Views
    count : int
        Slices a plane.

    Returns
    -------
    dict
        ``planes``: for each plane its name, the letters at its sides, the pixels of one slice,
        the slice positions, ``layers`` (name to data URI of all slices one below the other) and
        ``lines`` (name to one base64 string of little-endian int16 a slice).
    """
    plot.drawing_library()
    return {
        "fraction": _FRACTION,
        "end": int(_END),
        "colours": {
            "fixed": plot.FIXED_COLOUR,
            "warped": plot.WARPED_COLOUR,
            "grid": plot.GRID_COLOUR,
        },
        "planes": [_plane_data(views, plane, count) for plane in views.planes],
    }


def difference_limit(views: Views) -> float:
    """End of the scale of the difference pictures, fraction of the fixed image's range."""
    values = views.before[views.inside]
    return nice_limit(float(np.percentile(values, 99))) if values.size else 1.0


def colour_bar(name: str) -> str:
    """CSS gradient of a colour map, from low to high."""
    table = plot.drawing_library().colormaps[name](np.linspace(0, 1, 17))
    stops = ", ".join("#" + "".join(f"{round(255 * c):02x}" for c in rgba[:3]) for rgba in table)
    return f"linear-gradient(90deg, {stops})"


def _plane_data(views: Views, plane: Plane, count: int) -> dict[str, Any]:
    extent = [views.fixed.shape[a] * views.spacing[a] for a in (plane.across, plane.upward)]
    finest = min(views.spacing[a] for a in (plane.across, plane.upward))
    pixel_mm = max(finest, max(extent) / _LONGEST_PX)
    width, height = (max(int(round(e / pixel_mm)), 1) for e in extent)
    picks = views.slices(plane, count)

    def strip(volume: NDArray[Any]) -> NDArray[np.float32]:
        """All picked slices one below the other, in square pixels."""
        return np.concatenate([_resized(plane.picture(volume, i), width, height) for i in picks])

    levels = tissue_levels(views.fixed, views.inside)
    names = ("grid", "fixed", *(("warped",) if "warped" in views.labels else ()))
    lines: dict[str, list[str]] = {name: [] for name in names}
    to_pixels = np.array([width, height]) / [
        views.fixed.shape[plane.across],
        views.fixed.shape[plane.upward],
    ]
    for index in picks:
        drawn = {
            name: lines_of.grid_lines(views, plane, index)
            if name == "grid"
            else lines_of.outlines(views, plane, index, name, levels)
            for name in lines
        }
        for name, polylines in drawn.items():
            lines[name].append(_packed(polylines, to_pixels, height))
    return {
        "name": plane.name,
        "letters": [plane.left, plane.right, plane.top, plane.bottom],
        "width": width,
        "height": height,
        "slices": picks,
        "count": views.fixed.shape[plane.axis],
        "layers": {
            "fixed": _jpeg(_grey(strip(views.fixed))),
            "moving": _jpeg(_grey(strip(views.moving))),
            "warped": _jpeg(_grey(strip(views.warped))),
            "before": _jpeg(_coloured(strip(views.before), difference_limit(views))),
            "after": _jpeg(_coloured(strip(views.after), difference_limit(views))),
            "jacobian": _jacobian(
                strip(views.log_jacobian),
                strip(views.inside),
                strip(views.folded),
                plot.jacobian_limit(views),
            ),
        },
        "lines": lines,
    }


def _resized(picture: NDArray[Any], width: int, height: int) -> NDArray[np.float32]:
    from PIL import Image as Picture

    source = Picture.fromarray(np.ascontiguousarray(picture, dtype=np.float32))
    if source.size == (width, height):
        return np.asarray(source)
    return np.asarray(source.resize((width, height), Picture.Resampling.BILINEAR))


def _grey(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (255 * np.clip(values, 0, 1) + 0.5).astype(np.uint8)


def _coloured(values: NDArray[np.float32], top: float) -> NDArray[np.uint8]:
    import matplotlib

    colours = matplotlib.colormaps[plot.DIFFERENCE_MAP](np.arange(256))[:, :3]
    table = (255 * colours + 0.5).astype(np.uint8)
    return table[(255 * np.clip(values / top, 0, 1) + 0.5).astype(np.uint8)]


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    # No chroma subsampling: colours here are measurements.
    content = jpeg_file(pixels, quality=91, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def jpeg_file(pixels: NDArray[np.uint8], **settings: Any) -> bytes:
    """Content of a JPEG file, for `settings` of Pillow.

    Never with "optimize": that needs room for the whole file at once, which Pillow guesses from
    the number of pixels; noise takes more, and the library gives up.
    """
    from PIL import Image as Picture

    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, "JPEG", **settings)
    return file.getvalue()


def _jacobian(
    values: NDArray[np.float32],
    inside: NDArray[np.float32],
    folded: NDArray[np.float32],
    limit: float,
) -> str:
    """PNG with a palette: black outside the foreground, folded voxels in their own colour."""
    import matplotlib
    from PIL import Image as Picture
    from PIL import ImageColor

    steps = matplotlib.colormaps[plot.JACOBIAN_MAP](np.linspace(0, 1, _JACOBIAN_STEPS))[:, :3]
    palette = [
        0,
        0,
        0,
        *(255 * steps + 0.5).astype(int).ravel().tolist(),
        *ImageColor.getrgb(plot.FOLD_COLOUR),
    ]
    share = np.clip(values / (2 * limit) + 0.5, 0, 1)
    index = 1 + (share * (_JACOBIAN_STEPS - 1) + 0.5).astype(np.uint8)
    index[inside < 0.5] = 0
    index[(folded >= 0.5) & (inside >= 0.5)] = _JACOBIAN_STEPS + 1
    picture = Picture.fromarray(index).convert("P")
    picture.putpalette(palette)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _packed(lines: lines_of.Lines, to_pixels: NDArray[np.float64], height: int) -> str:
    """Lines in voxels (across, upward) as int16 pixels from the top left, base64."""
    numbers: list[NDArray[np.int16]] = []
    for line in lines:
        pixels = (line + 0.5) * to_pixels
        pixels[:, 1] = height - pixels[:, 1]
        whole = np.rint(pixels * _FRACTION).astype(np.int16)
        if len(whole) > 8:
            # Lines come with a point on every voxel edge; half of them look the same.
            whole = np.concatenate([whole[:-1:2], whole[-1:]])
        numbers += [whole.ravel(), np.array([_END], np.int16)]
    data = np.concatenate(numbers) if numbers else np.zeros(0, np.int16)
    return base64.b64encode(data.astype("<i2").tobytes()).decode()
