"""Registrations of images in memory, by any method of the comparison, each kept as a record."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import process
from dataset import Pair
from methods import Method
from optreg import Image, RegistrationConfig, register, warm_up
from optreg.errors import OptregError
from optreg.io import load_image, save_image
from optreg.metrics import count_folds, dice, mean_over_labels, sdlogj
from optreg.transform import DisplacementField
from optreg_method import configuration
from starts import Scan

OWN_SCRIPT = "optreg_method.py"
# Reads arrays and no headers: the moving image has to come on the grid of the fixed one.
_ARRAYS_ONLY = ("convex_adam.py",)


class Found(NamedTuple):
    """A registration: displacement, its inverse where the method gives one, and plain notes."""

    field: DisplacementField
    inverse: DisplacementField | None
    notes: dict[str, Any]


@dataclass(frozen=True)
class Runs:
    """Where registrations run, and the folder that keeps their records.

    Attributes
    ----------
    output, envs : Path
        Folder of the records; folder of the other methods' environments.
    threads : int
        CPU threads of every method.
    limit_s : float, optional
        Another method that takes longer has failed.
    """

    output: Path
    envs: Path
    threads: int = 2
    limit_s: float | None = None

    def kept(
        self, name: str, settings: dict[str, Any], compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Numbers of one run: read from ``OUTPUT/NAME.json`` if they are there, else computed.

        A run that fails gives ``{"failed": sentence}``, which is not kept: it is tried again.

        Raises
        ------
        RuntimeError
            What is there was made with other settings.
        """
        path = self.output / f"{name}.json"
        settings = json.loads(json.dumps(settings))  # a tuple comes back as a list
        if path.exists():
            record = json.loads(path.read_text())
            if record["settings"] != settings:
                raise RuntimeError(f"{path} was made with other settings; remove it")
            return record
        try:
            numbers = compute()
        except (RuntimeError, OSError, ValueError, OptregError) as error:
            print(f"{name}  failed: {error}", flush=True)
            return {"failed": str(error)}
        record = {**numbers, "settings": settings}
        path.parent.mkdir(parents=True, exist_ok=True)
        process.write_text(path, json.dumps(record, indent=1))
        shown = {k: v for k, v in numbers.items() if isinstance(v, (int, float))}
        print(name, *(f"{k} {v:.4g}" for k, v in shown.items()), sep="  ", flush=True)
        return record

    def register(
        self, method: Method, fixed: Image, moving: Image, init: str | None = "auto"
    ) -> Found:
        """Register two images: optreg in this process, another method in one of its own.

        Raises
        ------
        RuntimeError
            The other method failed, or has no such start.
        OptregError
            optreg cannot register them.
        """
        if not method.script:
            return Found(DisplacementField.identity(fixed.grid), None, {})
        if method.script == OWN_SCRIPT:
            return self._own(configuration(**_own_settings(method)), fixed, moving, init)
        if init not in ("auto", None):
            raise RuntimeError(f"{method.name} has no linear start here")
        return self._other(method, fixed, moving)

    def _own(
        self, config: RegistrationConfig, fixed: Image, moving: Image, init: str | None
    ) -> Found:
        _warm(config, self.threads)
        wall, cpu = time.perf_counter(), time.process_time()
        result = register(
            fixed, moving, config=config, init=init, threads=self.threads, device="cpu"
        )
        notes = {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "similarity": result.similarity,
            "repaired_voxels": result.quality["repaired_voxels"],
        }
        # Without the moving grid: then it maps worlds, whatever is warped.
        field = DisplacementField(result.disp, fixed.grid)
        return Found(field, result.inverse_transform, notes)

    def _other(self, method: Method, fixed: Image, moving: Image) -> Found:
        if method.script in _ARRAYS_ONLY and not moving.grid.same_as(fixed.grid):
            moving = DisplacementField.identity(fixed.grid).apply(moving, "linear")
        with tempfile.TemporaryDirectory() as folder:
            paths = Path(folder) / "fixed.nii", Path(folder) / "moving.nii"
            for path, image in zip(paths, (fixed, moving), strict=True):
                save_image(path, image.data, image.grid)
            run = process.call(
                method.python(self.envs),
                method.script,
                paths,
                Path(folder) / "found",
                threads=self.threads,
                settings=method.settings,
                limit_s=self.limit_s,
            )
            disp = np.load(Path(folder) / "found.npy")
        notes = {key: run[key] for key in ("seconds", "peak_memory_mb")}
        return Found(DisplacementField(disp, fixed.grid), None, notes)


def _own_settings(method: Method) -> dict[str, Any]:
    return {"changes": None, **method.settings}


@cache
def _warm(config: RegistrationConfig, threads: int) -> None:
    warm_up(config, device="cpu", threads=threads)


def chosen(only: str | None, known: Iterable[str]) -> list[str]:
    """The conditions of an experiment that ``--only A,B,...`` names; all without it.

    Raises
    ------
    ValueError
        An unknown one.
    """
    names = list(known)
    wanted = only.split(",") if only else names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise ValueError(f"--only {unknown[0]}: unknown; use {', '.join(names)}")
    return wanted


def finished(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those records that are not of a failure."""
    return {name: numbers for name, numbers in found.items() if "failed" not in numbers}


def read_scans(pair: Pair) -> tuple[Scan, Scan]:
    """Fixed and moving image of a pair with their label maps."""
    fixed, moving = (
        Scan(load_image(path), load_image(pair.data / "labelsVal" / path.name))
        for path in (pair.images.fixed, pair.images.moving)
    )
    return fixed, moving


def overlap(
    field: DisplacementField,
    fixed: Scan,
    moving: Scan,
    labels: Sequence[int] | None,
    seen: np.ndarray | None = None,
) -> float:
    """Mean Dice on the grid of the fixed label map, wherever the field is given.

    Parameters
    ----------
    field : DisplacementField
        Between the worlds of the two scans.
    fixed, moving : Scan
    labels : sequence of int or None
        Of the evaluation; None for all.
    seen : (X, Y, Z) bool ndarray, optional
        Only these voxels of the fixed label map count.
    """
    grid = fixed.labels.grid
    if not field.fixed_grid.same_as(grid):
        field = field.resample_to(grid)
    maps = fixed.labels.data, field.apply(moving.labels, "nearest").data
    if seen is not None:
        maps = np.where(seen, maps[0], 0), np.where(seen, maps[1], 0)
    return mean_over_labels(dice(*maps, labels=labels, moving_labels=moving.labels.data))


def regularity(field: DisplacementField, fixed: Image) -> dict[str, float]:
    """``sdlogj`` and ``folded_voxels`` where the fixed image, on the grid of the field, is > 0."""
    mask = fixed.data > 0
    folded = count_folds(field.disp, mask).folded_voxels
    return {"sdlogj": sdlogj(field.disp, mask), "folded_voxels": folded}


def judged(runs: Runs, experiment: str, method: Method, pair: Pair) -> dict[str, Any]:
    """Dice, regularity and notes of a method on a pair as it is, kept for an experiment."""

    def compute() -> dict[str, Any]:
        fixed, moving = read_scans(pair)
        found = runs.register(method, fixed.image, moving.image)
        score = overlap(found.field, fixed, moving, pair.labels)
        return {"dice": score, **regularity(found.field, fixed.image), **found.notes}

    return runs.kept(f"{experiment}/{method.name}/{pair.name}", method.settings, compute)
