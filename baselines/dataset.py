"""The pairs of a folder in LUMIR layout, with their labels and landmarks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optreg.errors import InputError

_IMAGE_SUFFIX = ".nii.gz"


@dataclass(frozen=True)
class Pair:
    """A fixed and a moving image.

    Attributes
    ----------
    data : Path
        Folder with imagesVal, labelsVal and landmarksVal.
    fixed, moving : Path
        Images.
    labels : tuple of int or None
        Labels of the evaluation; None for all that occur.
    """

    data: Path
    fixed: Path
    moving: Path
    labels: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """``FFFF_ffff_MMMM_mmmm``, numbers of person and contrast as in the challenge."""
        return "_".join(p.name.removesuffix(_IMAGE_SUFFIX)[-9:] for p in (self.fixed, self.moving))

    def files(self, folder: str, suffix: str) -> tuple[Path, Path] | None:
        """What belongs to both images in another folder; None unless both are there."""
        fixed, moving = (
            self.data / folder / (p.name.removesuffix(_IMAGE_SUFFIX) + suffix)
            for p in (self.fixed, self.moving)
        )
        return (fixed, moving) if fixed.exists() and moving.exists() else None


def read_task(data: Path, task: str) -> list[Pair]:
    """Pairs of ``evaluation_TASK.json``.

    Raises
    ------
    InputError
        The file is missing or is no evaluation configuration, or an image is missing.
    """
    path = data / f"evaluation_{task}.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        entries = [(data / e["fixed"], data / e["moving"]) for e in content["eval_pairs"]]
        methods = {m["metric"]: m for m in content["evaluation_methods"]}
        labels = methods.get("dice", {}).get("labels")
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise InputError(f"{path}: not an evaluation configuration ({err!r})") from err
    missing = sorted({str(p) for pair in entries for p in pair if not p.exists()})
    if missing:
        raise InputError(f"{path}: names {len(missing)} missing images, the first {missing[0]}")
    wanted = None if labels is None else tuple(labels)
    return [Pair(data, fixed, moving, wanted) for fixed, moving in entries]


def read_tasks(data: Path, tasks: list[str]) -> dict[str, list[Pair]]:
    """Pairs of several tasks; a pair of more than one is judged by the labels any of them names."""
    found = {task: read_task(data, task) for task in tasks}
    labels: dict[str, tuple[int, ...]] = {}
    for pairs in found.values():
        labels.update({p.name: p.labels for p in pairs if p.labels is not None})
    return {
        task: [Pair(p.data, p.fixed, p.moving, labels.get(p.name)) for p in pairs]
        for task, pairs in found.items()
    }
