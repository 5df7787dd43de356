"""Registration between two contrasts, beside that of the same people in one.

The label maps are those of the same person's T1w scan, present under the name of each image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dataset import Pair, read_task
from experiments import report
from experiments.runs import Runs, chosen, finished, judged
from methods import Method
from optreg.io.datasets import ImagePair

CONTRASTS = {
    "T1w-T1w": ("0000", "0000"),
    "T1w-T2w": ("0000", "0002"),
    "T1w-T2*w": ("0000", "0003"),
    "T1w-FLAIR": ("0000", "0004"),
    "T2w-FLAIR": ("0002", "0004"),
}
"""Numbers of the fixed and the moving contrast in the names of the files."""
REFERENCE = "T1w-T1w"


def people(data: Path, contrasts: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """Each person who has all contrasts and the one before, as paths without the contrast; the
    first person follows the last.
    """
    suffix = f"_{contrasts[0]}.nii.gz"
    stems = [
        path.with_name(path.name.removesuffix(suffix))
        for path in sorted((data / "imagesVal").glob(f"*{suffix}"))
    ]
    complete = [s for s in stems if all(_image(s, c).exists() for c in contrasts)]
    if len(complete) < 2:
        return []
    return [(complete[i], complete[i - 1]) for i in (*range(1, len(complete)), 0)]


def _image(stem: Path, contrast: str) -> Path:
    return stem.with_name(f"{stem.name}_{contrast}.nii.gz")


def _pair(data: Path, stems: tuple[Path, Path], contrasts: tuple[str, str]) -> Pair:
    fixed, moving = (_image(s, c) for s, c in zip(stems, contrasts, strict=True))
    labels = read_task(data, "segmentation")[0].labels
    name = f"disp_{fixed.name[-16:-12]}_{moving.name[-16:-12]}"
    return Pair(ImagePair(fixed, moving, name), data, labels)


def run(args: argparse.Namespace, runs: Runs, wanted: list[Method]) -> None:
    """Every contrast, method and pair; ``contrast.md``, ``.json``, ``.png``."""
    stems = people(args.data, ("0000", "0002", "0003", "0004"))[: args.pairs]
    names = chosen(args.only, CONTRASTS)
    text, content = [], {}
    for method in wanted:
        records: dict[str, dict[str, dict]] = {}
        for name in names:
            pairs = [_pair(args.data, two, CONTRASTS[name]) for two in stems]
            found = {
                "_".join(p.name.split("_")[::2]): judged(runs, "contrast", method, p) for p in pairs
            }
            records[name] = finished(found)
        content[method.name] = records
        text.append(f"{method.name}\n\n{report.compared('contrasts', records, REFERENCE)}")
    report.write(args.output, "contrast", "\n".join(text), content)
    _draw(args.output / "contrast.png", content)


def _draw(path: Path, content: dict[str, dict[str, dict[str, dict]]]) -> None:
    with report.Drawing(path) as axes:
        for number, (method, records) in enumerate(content.items()):
            names = [name for name, own in records.items() if own]
            for place, name in enumerate(names):
                values = [numbers["dice"] for numbers in records[name].values()]
                x = [place + 0.15 * number] * len(values)
                label = method if place == 0 else None
                axes.plot(x, values, "o", color=f"C{number}", alpha=0.7, label=label)
            axes.set_xticks(range(len(names)), names)
        axes.set_xlabel("fixed - moving")
        axes.set_ylabel("mean Dice of a pair")
        if len(content) > 1:
            axes.legend()
