"""Pairs to choose settings on: people of the data set whom the comparison does not pair."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dataset import Pair, read_task
from optreg.io.datasets import ImagePair, read_dataset

_TASK = "segmentation"
_BOX = re.compile(",".join([r"(\d+):(\d+)"] * 3))

Box = tuple[slice, slice, slice]


def tuning_pairs(data: Path, names: Sequence[str]) -> list[Pair]:
    """Pairs of people of ``dataset.json``, with the labels of the evaluation.

    Parameters
    ----------
    data : Path
        Folder in LUMIR layout.
    names : sequence of str
        ``FFFF_MMMM``, numbers of the fixed and the moving person; contrast 0000.

    Raises
    ------
    ValueError
        A name that is none, or a pair that is judged in the evaluation, in either direction.
    InputError
        The lists of pairs cannot be read.
    """
    images = {
        path.name.removesuffix(".nii.gz")[-9:]: path
        for pair in read_dataset(data / "dataset.json").pairs
        for path in (pair.fixed, pair.moving)
    }
    judged = read_task(data, _TASK)
    taken = {frozenset((p.images.fixed.name, p.images.moving.name)) for p in judged}
    found = []
    for name in names:
        people = [person for person in name.split("_") if f"{person}_0000" in images]
        if len(set(people)) != 2 or "_".join(people) != name:
            raise ValueError(f"--pair {name} is not FFFF_MMMM, two people of dataset.json")
        fixed, moving = (images[f"{person}_0000"] for person in people)
        if frozenset((fixed.name, moving.name)) in taken:
            raise ValueError(f"--pair {name} is judged in evaluation_{_TASK}.json; use another")
        found.append(Pair(ImagePair(fixed, moving, f"disp_{name}"), data, judged[0].labels))
    return found


def read_box(text: str) -> Box:
    """Part of a grid from ``X0:X1,Y0:Y1,Z0:Z1``, voxels from the first to before the second.

    Raises
    ------
    ValueError
        For anything else.
    """
    match = _BOX.fullmatch(text)
    ends = [int(number) for number in match.groups()] if match else [0] * 6
    x, y, z = (slice(*ends[i : i + 2]) for i in (0, 2, 4))
    if any(axis.start >= axis.stop for axis in (x, y, z)):
        raise ValueError(f"'{text}' is not X0:X1,Y0:Y1,Z0:Z1")
    return x, y, z


def cut(pair: Pair, box: Box, folder: Path) -> Pair:
    """The pair with images and label maps of a part of the grid only, written to a folder.

    What leaves the part or enters it has no counterpart there, for every method alike.
    """
    import nibabel as nib

    for place in ("imagesVal", "labelsVal"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for path in (pair.images.fixed, pair.images.moving):
            part = nib.load(pair.data / place / path.name).slicer[box]
            nib.save(part, folder / place / path.name)
    images = replace(
        pair.images,
        fixed=folder / "imagesVal" / pair.images.fixed.name,
        moving=folder / "imagesVal" / pair.images.moving.name,
    )
    return replace(pair, images=images, data=folder)
