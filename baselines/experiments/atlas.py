"""A template and subjects, both ways, judged without labels of the template.

Subjects' label maps that are brought into the space of the template should lie on each other; the
two directions, registered apart, should undo each other; and label maps that are voted there by
all other subjects should fit a subject when they are brought to it.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np

import tables
from dataset import read_task
from experiments import report
from experiments.runs import Runs, regularity
from methods import Method
from optreg import Image
from optreg.io import load_image
from optreg.metrics import dice, inverse_consistency, mean_over_labels
from optreg.propagation import fuse
from optreg.transform import DisplacementField

_TEMPLATE = "atlas_T1w.nii.gz"
_DIRECTIONS = ("to template", "from template")


class _Template:
    """The template, the subjects, and the fields between them, which are kept as files."""

    def __init__(self, args: argparse.Namespace, runs: Runs):
        pairs = read_task(args.data, "segmentation")
        self._runs, self._data = runs, args.data
        self.wanted_labels = pairs[0].labels
        paths = {path for pair in pairs for path in (pair.images.fixed, pair.images.moving)}
        self.subjects = sorted(paths)[: args.pairs]
        self.image = load_image(args.data / _TEMPLATE)

    def labels(self, subject: Path) -> Image:
        return load_image(self._data / "labelsVal" / subject.name)

    def fields(self, method: Method, subject: Path) -> dict[str, tuple[DisplacementField, Image]]:
        """Field and fixed image of each direction.

        Raises
        ------
        RuntimeError
            A registration failed.
        """
        image = load_image(subject)
        stem = f"atlas/{method.name}/{subject.name.removesuffix('.nii.gz')}"
        pairs = {_DIRECTIONS[0]: (self.image, image), _DIRECTIONS[1]: (image, self.image)}
        found = {}
        for direction, (fixed, moving) in pairs.items():
            name = f"{stem} {direction}"
            path = self._runs.output / f"{name}.npy"
            run = self._runs.kept(
                name,
                method.settings,
                lambda f=fixed, m=moving, p=path: self._registered(method, f, m, p),
            )
            if "failed" in run:
                raise RuntimeError(f"{name}: {run['failed']}")
            found[direction] = DisplacementField(np.load(path), fixed.grid), fixed
        return found

    def _registered(self, method: Method, fixed: Image, moving: Image, path: Path) -> dict:
        found = self._runs.register(method, fixed, moving)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, found.field.disp)
        return {**regularity(found.field, fixed), **found.notes}


def run(args: argparse.Namespace, runs: Runs, wanted: list[Method]) -> None:
    """Every subject and method; ``atlas.md``, ``.json``, ``.png``."""
    template = _Template(args, runs)
    content = {method.name: _method(template, method) for method in wanted}
    report.write(args.output, "atlas", _table(content), content)
    _draw(args.output / "atlas.png", content)


def _method(template: _Template, method: Method) -> dict[str, Any]:
    maps, consistency, regular = [], [], []
    for subject in template.subjects:
        found = template.fields(method, subject)
        (there, fixed), (back, image) = (found[d] for d in _DIRECTIONS)
        maps.append(there.apply(template.labels(subject), "nearest").data)
        error = inverse_consistency(there.disp, back.resample_to(fixed.grid).disp, fixed.data > 0)
        spacing = float(fixed.grid.spacing.mean())
        consistency.append([error.mean_vox * spacing, error.p99_vox * spacing])
        regular += [regularity(there, fixed), regularity(back, image)]
    labels = template.wanted_labels
    overlaps = [
        mean_over_labels(dice(a, b, labels=labels)) for a, b in itertools.combinations(maps, 2)
    ]
    carried = []
    for number, subject in enumerate(template.subjects):
        others = maps[:number] + maps[number + 1 :]
        back, _ = template.fields(method, subject)[_DIRECTIONS[1]]
        guess = back.apply(Image(fuse(others).labels, template.image.grid), "nearest").data
        truth = template.labels(subject).data
        carried.append(mean_over_labels(dice(truth, guess, labels=labels)))
    return {
        "subjects": [subject.name for subject in template.subjects],
        "overlap in template space": overlaps,
        "voted labels on a subject": carried,
        "there and back, mean mm": [c[0] for c in consistency],
        "there and back, p99 mm": [c[1] for c in consistency],
        "sdlogj": [r["sdlogj"] for r in regular],
        "folded_voxels": [r["folded_voxels"] for r in regular],
    }


def _table(content: dict[str, dict]) -> str:
    columns = (
        ("overlap in template space", "{:.4f}"),
        ("voted labels on a subject", "{:.4f}"),
        ("there and back, mean mm", "{:.3f}"),
        ("there and back, p99 mm", "{:.3f}"),
        ("sdlogj", "{:.3f}"),
        ("folded_voxels", "{:.0f}"),
    )
    rows = [["method", *(key for key, _ in columns)]]
    for method, found in content.items():
        rows.append([method, *(report.mean_and_spread(found[key], p) for key, p in columns)])
    text = tables.table(rows)
    voted_dice = {m: found["voted labels on a subject"] for m, found in content.items()}
    first, *others = voted_dice
    tests = [["voted labels", f"minus {first}", *report.DIFFERENCE]]
    for method in others:
        cells = report.difference(voted_dice[method], voted_dice[first], len(others))
        tests.append([method, *cells])
    count = len(voted_dice[first])
    return f"{text}\n{count} subjects.\n" + (
        f"\n{tables.table(tests)}{report.caveat(count, len(others))}" if others else ""
    )


def _draw(path: Path, content: dict[str, dict]) -> None:
    keys = ("overlap in template space", "voted labels on a subject", "there and back, mean mm")
    with report.Drawing(path, columns=3, size=(8.0, 3.2)) as every:
        for axes, key in zip(every, keys, strict=True):
            axes.boxplot([found[key] for found in content.values()])
            axes.set_xticks(range(1, len(content) + 1), content, fontsize=7, rotation=15)
            axes.set_title(key, fontsize=9)
        for axes in every[:2]:
            axes.set_ylabel("mean Dice")
