"""What a registration is given, checked and in one form: images, masks, weights, a start."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from optreg.config import PRESETS, RegistrationConfig
from optreg.errors import ConfigError, InputError
from optreg.grid import Grid
from optreg.image import Image, array_of
from optreg.preprocess import check_content
from optreg.transform import Affine, DisplacementField

if TYPE_CHECKING:
    from optreg.result import Registration

__all__ = [
    "Configuration",
    "ImageLike",
    "Images",
    "Initial",
    "Inputs",
    "as_image",
    "is_auto",
    "read_config",
    "read_inputs",
    "read_model",
]

_log = logging.getLogger("optreg")

ImageLike = Union[Image, NDArray[Any], str, "os.PathLike[str]"]
Images = ImageLike | Sequence[ImageLike]
Initial = Union[DisplacementField, Affine, "Registration", NDArray[Any], str, "os.PathLike[str]"]
Configuration = Union[RegistrationConfig, str, "os.PathLike[str]"]

AXES = "ijk"
"""Names of the array axes, as in BIDS."""
_STARTS = (
    "give a path, an optreg.DisplacementField, an optreg.Registration, an "
    "optreg.transform.Affine or (3, X, Y, Z)"
)


@dataclass(frozen=True, eq=False)
class Inputs:
    """Images of one pair and everything that is said about them.

    Attributes
    ----------
    fixed, moving : tuple of Image
        Channels; those of one image are of one object in one world.
    init : DisplacementField, Affine, ndarray, str, path or None
        As in `optreg.register`.
    refine : bool
        Whether `start` is gone on from instead of warping by it.
    fixed_mask, moving_mask, weights : Image or None
        As in `optreg.register`.
    still_axes : tuple of int
        Array axes along which nothing is displaced.
    start : DisplacementField or None
        What `init` comes to, on the grid of the fixed image.
    affine : Affine or None
        The same, where that is linear; of an earlier result, what that started from.
    """

    fixed: tuple[Image, ...]
    moving: tuple[Image, ...]
    init: Initial | None = None
    refine: bool = False
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    weights: Image | None = None
    still_axes: tuple[int, ...] = ()
    start: DisplacementField | None = None
    affine: Affine | None = None


def read_inputs(
    fixed: Images,
    moving: Images,
    *,
    init: Initial | None,
    refine: bool,
    fixed_mask: ImageLike | None,
    moving_mask: ImageLike | None,
    weights: ImageLike | None,
    axes: str,
) -> Inputs:
    """Inputs of `optreg.register`, read and checked.

    Raises
    ------
    InputError
        An image, a mask, the weights or `init` cannot be used.
    ConfigError
        They do not fit together.
    """
    init = read_model(init)
    if refine and (init is None or is_auto(init)):
        raise ConfigError("refine: needs a field to go on from; give init")
    if not axes or set(axes) - set(AXES):
        raise ConfigError(f"axes: '{axes}' is not one or more of i, j, k")
    fixed_channels, moving_channels = _channels(fixed, "fixed"), _channels(moving, "moving")
    if len(fixed_channels) != len(moving_channels):
        raise ConfigError(
            f"{len(fixed_channels)} fixed and {len(moving_channels)} moving images; each channel "
            "needs its counterpart"
        )
    return Inputs(
        fixed_channels,
        moving_channels,
        _initial(init, fixed_channels[0].grid),
        refine,
        _mask(fixed_mask, fixed_channels[0], "fixed_mask"),
        _mask(moving_mask, moving_channels[0], "moving_mask"),
        _weights(weights, fixed_channels[0]),
        tuple(i for i, name in enumerate(AXES) if name not in axes),
        affine=getattr(init, "affine", None),  # an earlier result contains it
    )


def read_config(
    config: Configuration | None, preset: str, similarity: str | None
) -> RegistrationConfig:
    """Configuration that is given, of a TOML file or of a preset, with another similarity if any.

    Raises
    ------
    ConfigError
        It is none, or cannot be read; a name is unknown.
    """
    if config is None:
        config = RegistrationConfig.preset(preset)
    elif isinstance(config, str) and config in PRESETS:
        raise ConfigError(f"config: '{config}' is a preset; give preset='{config}'")
    elif isinstance(config, (str, os.PathLike)):
        config = RegistrationConfig.from_toml(Path(config))
    elif not isinstance(config, RegistrationConfig):
        raise ConfigError(
            f"config: is a {type(config).__name__}; give the path of a TOML file or a "
            "RegistrationConfig (RegistrationConfig.from_dict, RegistrationConfig.from_toml)"
        )
    return config if similarity is None else replace(config, similarity=similarity)


def read_model(init: Any) -> Any:
    """`init`, with None for "none", as the command line has it."""
    return None if isinstance(init, str) and init == "none" else init


def is_auto(init: Initial | None) -> bool:
    """Whether the images decide how to start."""
    return isinstance(init, str) and init == "auto"


def as_image(source: ImageLike, role: str, image_of: Image | None = None) -> Image:
    """Image of whatever `register` accepts.

    Parameters
    ----------
    source : Image, array_like or path
    role : str
        What messages call it.
    image_of : Image, optional
        On whose grid an array lies; without one, it has 1 mm voxels.

    Raises
    ------
    InputError
        See `optreg.io.load_image` and `Image`; an image of another library.
    GeometryError
        An array of another shape than that of `image_of`.
    """
    if isinstance(source, Image):
        return source
    if isinstance(source, (str, os.PathLike)):
        from optreg.io import load_image

        return load_image(Path(source))
    image = Image.from_array(source, role)
    return image if image_of is None else Image(image.data, image_of.grid, role)


def _channels(source: Images, role: str) -> tuple[Image, ...]:
    several: Sequence[Any] = source if isinstance(source, (list, tuple)) else [source]
    if not several:
        raise InputError(f"{role}: no image")
    images = tuple(as_image(one, role) for one in several)
    for image in images:
        check_content(image, role)
    return images


def _mask(source: ImageLike | None, image_of: Image, role: str) -> Image | None:
    """Zeros and ones."""
    if source is None:
        return None
    image = _belonging(source, image_of, role)
    data = np.asarray(image.data) > 0
    if not data.any():
        raise InputError(f"{image.name or role}: is empty; 1 where the image counts, else 0")
    if not np.isin(image.data, (0, 1)).all():
        _log.warning("%s: is not of zeros and ones; what is above 0 counts", image.name or role)
    return Image(data.astype(np.uint8), image.grid, image.name or role)


def _weights(source: ImageLike | None, image_of: Image) -> Image | None:
    """Weights in 0..1, the largest being 1."""
    if source is None:
        return None
    image = _belonging(source, image_of, "weights")
    low, high = float(image.data.min()), float(image.data.max())
    if low < 0 or high <= 0:
        raise InputError(f"{image.name or 'weights'}: from {low:g} to {high:g}; 0 or more, not all")
    data = (image.data / np.float64(high)).astype(np.float32)
    return Image(data, image.grid, image.name or "weights")


def _belonging(source: ImageLike, image_of: Image, role: str) -> Image:
    """Finite numbers on a grid; an array without one is on that of the image it belongs to."""
    image = as_image(source, role, image_of)
    if image.data.dtype.kind not in "buif":
        raise InputError(f"{image.name or role}: dtype {image.data.dtype} is not a real number")
    if not np.isfinite(image.data).all():
        raise InputError(f"{image.name or role}: holds NaN or infinite values")
    return image


def _initial(init: Initial | None, grid: Grid) -> Initial | None:
    """`init` as it is, or as an array in the order of ours."""
    transform = getattr(init, "transform", None)  # of a Registration
    if isinstance(transform, DisplacementField):
        return transform if transform.fixed_grid.same_as(grid) else transform.resample_to(grid)
    if init is None or isinstance(init, (DisplacementField, Affine, str, os.PathLike)):
        return init
    disp = array_of(init, "init", _STARTS)
    if disp.shape == (4, 4):
        raise InputError("init: is a 4x4 matrix; give optreg.transform.Affine(matrix), in RAS mm")
    if disp.shape == (*grid.shape, 3):
        raise InputError(
            f"init: has shape {disp.shape}; move the last axis to the front: "
            "numpy.moveaxis(init, 3, 0)"
        )
    return disp
