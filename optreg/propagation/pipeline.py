"""`propagate`: atlases registered to a subject one by one, their labels warped and fused."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optreg.affine import MODELS
from optreg.config import RegistrationConfig
from optreg.errors import ConfigError, GeometryError, InputError
from optreg.image import Image
from optreg.inputs import Configuration, ImageLike, as_image, read_config, read_model
from optreg.intensities import foreground
from optreg.io.files import file_ending
from optreg.kernels import thread_limit
from optreg.metrics import as_label_map
from optreg.propagation.fusion import (
    OWN_FACTOR,
    POWER,
    RADIUS_VOX,
    check_weighting,
    fuse,
    similarity_weights,
)
from optreg.propagation.kept import Kept
from optreg.propagation.result import LabelFusion
from optreg.registration import register
from optreg.result import Status
from optreg.transform import DisplacementField

__all__ = ["FUSIONS", "Atlas", "propagate"]

_log = logging.getLogger("optreg")

FUSIONS = ("weighted", "majority")
"""Ways to fuse, the default first."""

Progress = Callable[[str, float], None]


class Atlas(NamedTuple):
    """An image and its label map, in one world.

    Attributes
    ----------
    image, labels : Image, (X, Y, Z) ndarray or path
        Labels are whole numbers; an array of them is on the grid of the image.
    name : str
        In the results; without it, that of the image's file.
    """

    image: ImageLike
    labels: ImageLike
    name: str = ""


Atlases = Atlas | tuple[ImageLike, ImageLike] | Sequence[Atlas | tuple[ImageLike, ImageLike]]
_LIST_THEM = "give a list of (image, labels)"


def propagate(
    target: ImageLike,
    atlases: Atlases,
    *,
    fusion: str = FUSIONS[0],
    radius_vox: int = RADIUS_VOX,
    power: float = POWER,
    preset: str = "default",
    config: Configuration | None = None,
    similarity: str | None = None,
    init: str | None = "auto",
    device: str = "auto",
    threads: int | None = None,
    keep: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> LabelFusion:
    """Label an image by atlases: register each to it, warp its labels, fuse them by votes.

    One registration is in memory at a time. Of each atlas its warped labels stay and, for weighted
    votes, 2 bytes a voxel: 21 MB with 8-bit labels on 160x224x192 voxels, however many labels.

    Parameters
    ----------
    target : Image, (X, Y, Z) ndarray or path
        Image to be labelled.
    atlases : sequence of Atlas or of (image, labels), or one of them
    fusion : {"weighted", "majority"}
        Whether an atlas has more votes where its warped image looks more like the target
        (`optreg.propagation.similarity_weights`), or each has one. `optreg.propagation.fuse` says
        how ties end.
    radius_vox, power : int, float
        Of the weights.
    preset, config, similarity, device, threads
        As for `optreg.register`.
    init : {"auto", "none", "affine", "similarity", "rigid", "translation", "moments"} or None
        How to align each atlas first (or "sitk-affine" and so on), as in `optreg.register`.
    keep : path, optional
        Folder that keeps each field as ``NAME/disp.nii.gz`` with a record beside it. What is there,
        whole and made of the same images with the same settings, is not done again.
    progress : callable, optional
        Called as ``progress(stage, fraction of the whole)``.

    Raises
    ------
    InputError
        No atlas, an image that cannot be used, or labels that are no whole numbers.
    GeometryError
        Images do not overlap in the world, or labels not with their image.
    ConfigError
        A setting does not exist or is out of range.
    DeviceError
        The device is not there, or its memory is too small.
    OutputError
        `keep` cannot be written.
    """
    start = time.perf_counter()
    if fusion not in FUSIONS:
        raise ConfigError(f"fusion '{fusion}' does not exist; use {' or '.join(FUSIONS)}")
    init = read_model(init)
    if init is not None and not (isinstance(init, str) and init in ("auto", *MODELS)):
        raise ConfigError(f"init '{init}' does not exist; use auto or one of {', '.join(MODELS)}")
    config = read_config(config, preset, similarity)
    how: dict[str, Any] = {"method": fusion}
    if fusion == "weighted":
        check_weighting(radius_vox, power)
        how |= {"radius_vox": radius_vox, "power": power, "own_factor": OWN_FACTOR}
    report = progress or (lambda stage, fraction: None)
    engine = _Engine(as_image(target, "target"), config, init, device, threads)
    named = _named(_listed(atlases))
    for atlas in named:
        _read(atlas)  # what cannot be used shall not be found after hours
    brought = []
    for number, atlas in enumerate(named):
        place = None if keep is None else Path(keep) / atlas.name
        brought.append(_bring(atlas, engine, how, place, _part(report, number, len(named))))
    report("fusing", 1.0)
    began = time.perf_counter()
    maps, weights = [b.labels for b in brought], [b.weight for b in brought if b.weight is not None]
    fused = fuse(maps, weights or None, how.get("own_factor"))
    _judge(brought, fused.labels, foreground(engine.target.data))
    timings = {"fuse": time.perf_counter() - began, "total": time.perf_counter() - start}
    return LabelFusion(
        target=engine.target,
        labels=Image(fused.labels, engine.target.grid, "labels"),
        agreement=fused.agreement,
        label_list=tuple(sorted({0}.union(*(b.numbers for b in brought)))),
        fusion=how,
        atlases=[b.record for b in brought],
        config=config,
        init=init,
        timings=timings,
    )


@dataclass(frozen=True, eq=False)
class _Engine:
    """The target, and how atlases are registered to it."""

    target: Image
    config: RegistrationConfig
    init: str | None
    device: str
    threads: int | None

    def registered(
        self, image: Image, place: Path | None, progress: Progress
    ) -> tuple[DisplacementField, dict[str, Any], bool]:
        """Field onto the target, its record, and whether both had been kept."""
        kept = None
        if place is not None:
            settings = {"config": self.config.to_dict(), "init": self.init}
            kept = Kept.of(place, self.target, image, settings)
            if (found := kept.read(self.target)) is not None:
                return *found, True
        result = register(
            self.target,
            image,
            config=self.config,
            init=self.init,
            device=self.device,
            threads=self.threads,
            progress=progress,
        )
        if result.status is not Status.CONVERGED:
            _log.warning("%s: %s", image.name, result.status.value)
        record = {
            "message": result.status.value,
            "similarity": result.similarity,
            "device": result.device,
            "quality": result.quality,
            "timings_s": result.timings,
        }
        if kept is not None:
            kept.write(result.transform, record)
        return result.transform, record, False


@dataclass(frozen=True, eq=False)
class _Brought:
    """What stays of an atlas once it is on the grid of the target."""

    labels: NDArray[Any]
    weight: NDArray[np.uint16] | None
    numbers: set[int]
    record: dict[str, Any]


def _bring(
    atlas: Atlas, engine: _Engine, how: dict[str, Any], place: Path | None, progress: Progress
) -> _Brought:
    image, labels = _read(atlas)
    if not labels.grid.same_as(image.grid, tolerance=1e-2):
        _log.warning("%s: is on another grid than its image %s", labels.name, image.name)
    seconds: dict[str, float] = {}
    with _timed(seconds, "register"):
        transform, record, kept = engine.registered(image, place, progress)
    with _timed(seconds, "warp"):
        warped = transform.apply(labels, "label").data
    weight = None
    if how["method"] == "weighted":
        with _timed(seconds, "weights"), thread_limit(engine.threads):
            onto = transform.apply(image, "linear").data
            weight = similarity_weights(
                engine.target.data, onto, radius_vox=how["radius_vox"], power=how["power"]
            )
    said: dict[str, Any] = {"name": atlas.name, "image": image.name}
    said |= {"labels": labels.name, "registration": record, "kept": kept, "seconds": seconds}
    return _Brought(warped, weight, set(np.unique(labels.data).tolist()), said)


def _judge(
    brought: Sequence[_Brought], winners: NDArray[Any], foreground: NDArray[np.bool_]
) -> None:
    """Say of each atlas how much it had to say, and how often it was right by the others."""
    sums = [
        float(foreground.sum() if b.weight is None else b.weight[foreground].sum(dtype=np.int64))
        for b in brought
    ]
    labelled = winners != 0
    for atlas, votes in zip(brought, sums, strict=True):
        same = (atlas.labels == winners)[labelled]
        atlas.record["vote_share"] = votes / max(sum(sums), 1.0)
        atlas.record["same_label"] = float(same.mean()) if same.size else 1.0


def _listed(atlases: Atlases) -> list[Atlas]:
    """Atlases, of one alone as well."""
    images = (Image, np.ndarray, str, os.PathLike)
    if isinstance(atlases, tuple) and atlases and isinstance(atlases[0], images):
        atlases = [atlases]  # an atlas is a tuple itself
    if not isinstance(atlases, Sequence) or isinstance(atlases, str):
        raise InputError(f"atlases: is a {type(atlases).__name__}; {_LIST_THEM}")
    if not atlases:
        raise InputError("no atlases; at least one is needed")
    listed = []
    for number, given in enumerate(atlases, start=1):
        if not isinstance(given, (list, tuple)) or len(given) not in (2, 3):
            raise InputError(f"atlas {number}: is no pair of an image and labels; {_LIST_THEM}")
        listed.append(Atlas(*given))
    return listed


def _named(atlases: list[Atlas]) -> list[Atlas]:
    """Atlases with names that are theirs alone and can be those of folders."""
    named: list[Atlas] = []
    for number, atlas in enumerate(atlases, start=1):
        source = atlas.image.name if isinstance(atlas.image, Image) else atlas.image
        stem = Path(source).name if isinstance(source, (str, os.PathLike)) else ""
        name = atlas.name or stem[: len(stem) - len(file_ending(stem))] or f"atlas-{number}"
        if name != Path(name).name or name == ".." or file_ending(name):
            raise ConfigError(f"atlas name '{name}' cannot be that of a folder; choose another")
        taken = {other.name for other in named}
        while name in taken:
            name = f"{name}-{number}"
        named.append(atlas._replace(name=name))
    return named


def _read(atlas: Atlas) -> tuple[Image, Image]:
    """Image of an atlas, and its labels as integers, whatever the type they are stored in."""
    image = as_image(atlas.image, "atlas")
    labels = as_image(atlas.labels, "labels", image)
    data = as_label_map(labels.data, f"{labels.name}: labels")
    if not labels.grid.overlaps(image.grid):
        raise GeometryError(
            f"{labels.name}: lies outside of {image.name}; check which image it belongs to"
        )
    return image, Image(data, labels.grid, labels.name)


def _part(report: Progress, number: int, count: int) -> Progress:
    """Progress of one atlas as part of all; what comes after the last is short."""
    stage = f"atlas {number + 1}/{count}"
    return lambda _, fraction: report(stage, 0.98 * (number + fraction) / count)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
