"""Options and files that several commands read in the same way."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optreg.cli.console import thread_count
from optreg.config import PRESETS, RegistrationConfig
from optreg.errors import ConfigError, InputError
from optreg.grid import Grid
from optreg.image import Image

if TYPE_CHECKING:
    from optreg.io.datasets import Dataset

__all__ = [
    "add_dataset_options",
    "add_engine_options",
    "add_output_options",
    "config_of",
    "dataset_of",
    "landmark_pair",
    "load_chosen",
    "load_grid",
    "outputs_of",
    "start_of",
    "told_problems",
    "without_geometry",
]

_log = logging.getLogger("optreg")


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Options of the registration itself."""
    group = parser.add_argument_group("registration")
    group.add_argument(
        "--preset", choices=tuple(PRESETS), help="how much time to spend (without: default)"
    )
    group.add_argument(
        "--config",
        metavar="TOML",
        help="settings from a file, in place of a preset; config.toml of an earlier result will do",
    )
    group.add_argument(
        "--similarity",
        choices=("auto", "lncc", "tissue", "mind"),
        help="lncc: one contrast, tissue: two contrasts, mind: any images (without: auto)",
    )
    group.add_argument(
        "--threads", type=thread_count, metavar="N", help="CPU threads (without: all)"
    )
    group.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="cpu, cuda, cuda:N, or auto: the GPU if there is one (without: auto)",
    )


def add_output_options(group: argparse._ArgumentGroup) -> None:
    """Options that say which results to write."""
    from optreg.report.outcome import OUTPUTS

    group.add_argument(
        "--outputs",
        nargs="+",
        choices=tuple(OUTPUTS),
        default=("inverse", "warped", "labels", "report"),
        metavar="NAME",
        help="what to write besides the field, the settings and the numbers: "
        + "; ".join(f"{name}, {what}" for name, what in OUTPUTS.items())
        + " (without: inverse warped labels report)",
    )


def outputs_of(args: argparse.Namespace, labels: bool) -> set[str]:
    """What ``--outputs`` asks for; `labels` says whether there are label maps.

    Raises
    ------
    ConfigError
        Warped labels are asked for where there are none.
    """
    wanted = set(args.outputs)
    if "labels" in wanted and "--outputs" in args.given and not labels:
        raise ConfigError("--outputs labels: no label maps are given to warp; give them")
    return wanted


def add_dataset_options(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Options that name the pairs of a dataset."""
    group = parser.add_argument_group("dataset")
    group.add_argument(
        "--dataset",
        required=required,
        metavar="FILE",
        help="JSON of LUMIR / Learn2Reg, evaluation configuration, or CSV with fixed, moving",
    )
    group.add_argument(
        "--images", metavar="DIR", help="folder its names are relative to (without: its own)"
    )
    group.add_argument(
        "--split",
        metavar="NAME",
        help="list of a dataset JSON (without: validation)",
    )


def dataset_of(args: argparse.Namespace) -> Dataset:
    """The dataset of these options; each of its problems is a line on stderr.

    Folders with labels and landmarks of its images, where a command takes them, are checked too:
    some commands look into them hours later.
    """
    from optreg.io.datasets import read_dataset

    with told_problems(args.dataset):
        dataset = read_dataset(args.dataset, args.images, split=args.split)
    for option in ("labels", "landmarks"):
        if folder := getattr(args, option, None):
            from optreg.batch.scoring import check_beside

            check_beside(dataset.pairs, Path(folder), tables=option == "landmarks")
    return dataset


@contextmanager
def told_problems(path: str) -> Iterator[None]:
    """Let each problem of a list of pairs be a line on stderr."""
    from optreg.io.datasets import DatasetError

    try:
        yield
    except DatasetError as error:
        if len(error.problems) == 1:
            raise
        for problem in error.problems:
            _log.error("%s", problem)
        raise InputError(f"{path}: {len(error.problems)} problems, see above") from error


def config_of(args: argparse.Namespace) -> RegistrationConfig:
    """Settings of ``--config`` or ``--preset``; a ConfigError comes before any file is read."""
    if args.config and args.preset:
        raise ConfigError("--config and --preset exclude each other; give one")
    if args.config:
        return RegistrationConfig.from_toml(args.config)
    return RegistrationConfig.preset(args.preset or "default")


def start_of(init: str) -> str | None:
    """What ``--init`` says, as `optreg.register` takes it."""
    return None if init == "none" else init


def load_chosen(path: str, volume: int | None, nan_to: float | None) -> Image:
    """Image as ``--volume`` and ``--nan-to`` say; errors name the option that helps."""
    from optreg.io.images import PICK_ONE, REPLACE_THEM, load_image

    try:
        return load_image(path, volume=volume, nan_to=nan_to)
    except InputError as error:
        options = {
            PICK_ONE: "pick one with --volume N (0 the first)",
            REPLACE_THEM: "--nan-to 0 replaces them",
        }
        for words, option in options.items():
            if str(error).endswith(words):
                raise InputError(str(error).removesuffix(words) + option) from error
        raise


def load_grid(path: str) -> Grid:
    """Grid of an image whose voxels do not matter."""
    from optreg.io import load_image

    return load_image(path, volume=0, nan_to=0.0).grid


def without_geometry(path: str, grid: Grid) -> bool:
    """Whether a field in voxels, read on `grid`, left open where in the world it is."""
    from optreg.io.fields import grids_of_file

    return bool(np.array_equal(grid.affine, np.eye(4))) and grids_of_file(path) is None


def landmark_pair(
    fixed_path: str, moving_path: str, grid: Grid, moving_grid: Grid | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of both images in voxels of `grid`: two files of points, or two label maps.

    For which points belong together see `optreg.io.landmarks.match_landmarks`.
    """
    from optreg.io import read_landmarks
    from optreg.io.labels import load_labels, on_grid
    from optreg.io.landmarks import is_point_file, match_landmarks

    if not is_point_file(fixed_path) and not is_point_file(moving_path):
        maps = [load_labels(path) for path in (fixed_path, moving_path)]
        fixed, moving = (on_grid(m, grid, "the field").data for m in maps)
        return fixed, moving
    if is_point_file(fixed_path) != is_point_file(moving_path):
        raise InputError(f"{moving_path}: points and a label map; give two of a kind")
    first = read_landmarks(fixed_path, grid)
    second = read_landmarks(moving_path, moving_grid or grid)
    rows, counterparts = match_landmarks(first, second, moving_path)
    return first.vox[rows], grid.world_to_voxel(second.mm[counterparts])
