"""One picture of a registration, for a paper or a first look.

matplotlib is imported on first use. Figures are made as objects with the Agg canvas, without
pyplot: nothing global changes, and no display is needed.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import ConfigError
from optreg.image import Image
from optreg.io.files import check_writable, write_atomic
from optreg.lines import Lines, grid_lines, outlines
from optreg.views import Plane, Views, collect, nice_limit, tissue_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from optreg.result import Registration

__all__ = [
    "default_title",
    "draw_tile",
    "drawing_library",
    "jacobian_limit",
    "overview",
    "save_overview",
]

FIXED_COLOUR, WARPED_COLOUR = "#2ee6c8", "#ffb02e"
GRID_COLOUR, FOLD_COLOUR = "#8fd3ff", "#ff00d4"
DIFFERENCE_MAP, JACOBIAN_MAP = "inferno", "RdBu_r"
_INK = "#1d2126"


def drawing_library() -> ModuleType:
    """Return matplotlib, imported so that an unwritable home folder does no harm.

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    """
    _choose_config_folder()
    try:
        import matplotlib
    except ImportError as err:
        raise ConfigError("pictures need matplotlib; pip install matplotlib") from err
    return matplotlib


def _choose_config_folder() -> None:
    """Give matplotlib a folder it can write to: in a container there may be no home."""
    if os.environ.get("MPLCONFIGDIR"):
        return
    for variable, default in (("XDG_CONFIG_HOME", "~/.config"), ("XDG_CACHE_HOME", "~/.cache")):
        folder = Path(os.environ.get(variable) or os.path.expanduser(default), "matplotlib")
        try:
            # Where matplotlib makes its folder anyway; asking for rights alone misleads for root.
            folder.mkdir(parents=True, exist_ok=True)
            usable = os.access(folder, os.W_OK)
        except OSError:
            usable = False
        if not usable:
            # By user, so that runs share the font cache instead of rebuilding it each time.
            user = os.getuid() if hasattr(os, "getuid") else "user"
            os.environ["MPLCONFIGDIR"] = os.path.join(tempfile.gettempdir(), f"optreg-mpl-{user}")
            return


def overview(
    result: Registration,
    *,
    fixed_labels: Image | NDArray[Any] | None = None,
    warped_labels: Image | NDArray[Any] | None = None,
    title: str | None = None,
    views: Views | None = None,
) -> Figure:
    """Draw one registration: a row a plane, from the inputs to the deformation.

    Columns: fixed, moving and warped with the outlines of the fixed image; the difference before
    and after; the deformed grid; the logarithm of the Jacobian determinant.

    Parameters
    ----------
    result : Registration
    fixed_labels, warped_labels : Image or (X, Y, Z) array, optional
        On the fixed grid; outlines then follow them in place of the intensities.
    title : str, optional
    views : Views, optional
        What `optreg.views.collect` returned for `result`, where it is at hand.

    Returns
    -------
    matplotlib.figure.Figure
        With an Agg canvas: ``figure.savefig("overview.png", dpi=150)``.

    Raises
    ------
    ConfigError
        matplotlib is not installed.
    """
    drawing_library()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = views or collect(result, fixed_labels, warped_labels)
    heights = [shown.fixed.shape[p.upward] * shown.spacing[p.upward] for p in shown.planes]
    width = max(shown.fixed.shape[p.across] * shown.spacing[p.across] for p in shown.planes)
    columns = _columns(shown)
    inch = 2.1 / width
    margin_top, margin_bottom = 0.62, 0.62
    size = (2.1 * len(columns) + 0.3, sum(heights) * inch + margin_top + margin_bottom)
    figure = Figure(figsize=size, facecolor="white")
    FigureCanvasAgg(figure)
    places = figure.add_gridspec(
        len(heights),
        len(columns),
        height_ratios=heights,
        hspace=0.02,
        wspace=0.02,
        left=0.15 / size[0],
        right=1 - 0.15 / size[0],
        top=1 - margin_top / size[1],
        bottom=margin_bottom / size[1],
    )
    last: dict[str, tuple[Axes, Any]] = {}
    for row, plane in enumerate(shown.planes):
        index = shown.fullest(plane)
        for column, (name, kind) in enumerate(columns):
            axes = figure.add_subplot(places[row, column])
            drawn = draw_tile(axes, shown, plane, index, kind)
            _frame(axes, plane, shown, width, letters=column == 0)
            if row == 0:
                axes.set_title(name, fontsize=9.5, color=_INK, pad=5)
            last[kind] = axes, drawn
    _colour_bars(figure, last)
    figure.text(
        0.15 / size[0],
        1 - 0.14 / size[1],
        title or default_title(result),
        fontsize=11,
        fontweight="bold",
        color=_INK,
        va="top",
    )
    return figure


def save_overview(
    path: str | os.PathLike[str],
    result: Registration,
    *,
    overwrite: bool = False,
    dpi: int = 150,
    **options: Any,
) -> Path:
    """Write `overview` to a PNG file, whole or not at all.

    Parameters
    ----------
    path : path
    result : Registration
    overwrite : bool
    dpi : int
    **options
        As for `overview`.

    Raises
    ------
    OutputError
        The file exists and `overwrite` is not set, or it cannot be written.
    """
    check_writable(path, overwrite)
    picture = io.BytesIO()
    overview(result, **options).savefig(picture, dpi=dpi, format="png")
    return write_atomic(path, [picture.getbuffer()], overwrite)


def _columns(views: Views) -> list[tuple[str, str]]:
    return [
        ("fixed", "fixed"),
        ("moving, before", "moving"),
        ("moving, warped", "warped"),
        ("|difference| before", "before"),
        ("|difference| after", "after"),
        ("deformed grid", "grid"),
        ("log Jacobian", "jacobian"),
    ]


def draw_tile(axes: Axes, views: Views, plane: Plane, index: int, kind: str) -> Any:
    """Draw one slice; return what its colour bar belongs to.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    views : Views
    plane : Plane
    index : int
        Slice across the plane.
    kind : {"fixed", "moving", "warped", "before", "after", "grid", "jacobian"}
        Images have the outlines of the fixed one on them; before and after are differences.
    """
    nx, ny = views.fixed.shape[plane.across], views.fixed.shape[plane.upward]
    sx, sy = views.spacing[plane.across], views.spacing[plane.upward]
    extent = (-0.5 * sx, (nx - 0.5) * sx, -0.5 * sy, (ny - 0.5) * sy)

    def show(volume: NDArray[Any], **how: Any) -> Any:
        smooth = "bilinear" if kind != "jacobian" else "nearest"
        picture = plane.picture(volume, index)
        return axes.imshow(picture, extent=extent, interpolation=smooth, **how)

    def draw(lines: Lines, colour: str, width: float) -> None:
        from matplotlib.collections import LineCollection

        scaled = [line * (sx, sy) for line in lines]
        axes.add_collection(LineCollection(scaled, colors=colour, linewidths=width), autolim=False)

    if kind in ("before", "after"):
        top = nice_limit(float(np.percentile(views.before[views.inside], 99)))
        return show(
            views.before if kind == "before" else views.after, cmap=DIFFERENCE_MAP, vmin=0, vmax=top
        )
    if kind == "jacobian":
        limit = jacobian_limit(views)
        values = np.ma.masked_array(views.log_jacobian, ~views.inside)
        drawn = show(values, cmap=JACOBIAN_MAP, vmin=-limit, vmax=limit)
        folds = np.ma.masked_array(np.ones(values.shape), ~(views.folded & views.inside))
        show(folds, cmap=_single_colour(FOLD_COLOUR))
        return drawn
    base = "fixed" if kind == "grid" else kind
    drawn = show(getattr(views, base), cmap="gray", vmin=0, vmax=1.6 if kind == "grid" else 1.05)
    if kind == "grid":
        draw(grid_lines(views, plane, index), GRID_COLOUR, 0.55)
    else:
        levels = tissue_levels(views.fixed, views.inside)
        draw(outlines(views, plane, index, "fixed", levels), FIXED_COLOUR, 0.45)
        if kind == "warped" and "warped" in views.labels:
            draw(outlines(views, plane, index, "warped"), WARPED_COLOUR, 0.45)
    return drawn


def jacobian_limit(views: Views) -> float:
    """Symmetric end of the log-Jacobian scale: holds 99 % of the foreground."""
    values = np.abs(views.log_jacobian[views.inside])
    return nice_limit(float(np.percentile(values, 99))) if values.size else 1.0


def _single_colour(colour: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([colour])


def _frame(axes: Axes, plane: Plane, views: Views, width: float, letters: bool) -> None:
    """One scale for all pictures: each sits in the middle of a black tile `width` mm wide."""
    sx = views.spacing[plane.across]
    centre = (views.fixed.shape[plane.across] - 1) * sx / 2
    height = views.fixed.shape[plane.upward] * views.spacing[plane.upward]
    axes.set_xlim(centre - width / 2, centre + width / 2)
    axes.set_ylim(-0.5 * views.spacing[plane.upward], height - 0.5 * views.spacing[plane.upward])
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    if letters:
        for letter, x, y, ha, va in (
            (plane.left, 0.02, 0.5, "left", "center"),
            (plane.right, 0.98, 0.5, "right", "center"),
            (plane.top, 0.5, 0.98, "center", "top"),
            (plane.bottom, 0.5, 0.02, "center", "bottom"),
        ):
            axes.text(
                x,
                y,
                letter,
                transform=axes.transAxes,
                ha=ha,
                va=va,
                color="white",
                fontsize=7,
                alpha=0.85,
            )


def _colour_bars(figure: Figure, last: dict[str, tuple[Axes, Any]]) -> None:
    """Scales below the columns that need one."""
    for kind, label in (
        ("after", "fraction of the fixed image's range"),
        ("jacobian", "ln(volume in moving / volume in fixed)"),
    ):
        axes, drawn = last[kind]
        box = axes.get_position()
        place = figure.add_axes(
            (
                box.x0 + 0.1 * box.width,
                box.y0 - 0.17 / figure.get_figheight(),
                0.8 * box.width,
                0.07 / figure.get_figheight(),
            )
        )
        bar = figure.colorbar(drawn, cax=place, orientation="horizontal")
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.ax.tick_params(labelsize=7, length=2, colors=_INK)
        bar.set_label(label, fontsize=7, color=_INK, labelpad=1)


def default_title(result: Registration) -> str:
    """Names of the two images, moving first: "MOVING on FIXED"."""
    names = [
        Path(image.name).name.removesuffix(".gz").removesuffix(".nii")
        for image in (result.fixed, result.moving)
    ]
    return f"{names[1]} on {names[0]}" if all(names) else "Registration"
