"""The pairs of a folder in LUMIR layout, under the names of the comparison's results."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from optreg.io.datasets import ImagePair, read_dataset

_IMAGE_SUFFIX = ".nii.gz"


@dataclass(frozen=True)
class Pair:
    """A pair and what it is judged by.

    Attributes
    ----------
    images : ImagePair
        Fixed and moving image.
    data : Path
        Folder with imagesVal, labelsVal and landmarksVal.
    labels : tuple of int or None
        Labels of the evaluation; None for all that occur.
    """

    images: ImagePair
    data: Path
    labels: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """``FFFF_ffff_MMMM_mmmm``, numbers of person and contrast as in the challenge."""
        paths = self.images.fixed, self.images.moving
        return "_".join(p.name.removesuffix(_IMAGE_SUFFIX)[-9:] for p in paths)


def read_task(data: Path, task: str) -> list[Pair]:
    """Pairs of ``evaluation_TASK.json``.

    Raises
    ------
    InputError
        The file is missing or is no evaluation configuration, or an image is missing.
    """
    dataset = read_dataset(data / f"evaluation_{task}.json")
    return [Pair(images, data, dataset.labels) for images in dataset.pairs]


def read_tasks(data: Path, tasks: list[str]) -> dict[str, list[Pair]]:
    """Pairs of several tasks; a pair of more than one is judged by the labels any of them names."""
    found = {task: read_task(data, task) for task in tasks}
    labels: dict[str, tuple[int, ...]] = {}
    for pairs in found.values():
        labels.update({p.name: p.labels for p in pairs if p.labels is not None})
    return {
        task: [replace(pair, labels=labels.get(pair.name)) for pair in pairs]
        for task, pairs in found.items()
    }
