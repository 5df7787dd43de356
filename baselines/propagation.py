"""How well atlases label a scan: each alone, by majority, by weighted votes.

python baselines/propagation.py --data DATA --output OUT --targets 1001,1007 --atlases 1000,1002

Every target is labelled by every atlas but itself, and by all of them together. Written are
``propagation.json`` and ``propagation.md``; fields are kept in ``OUT/PRESET/TARGET`` and used
again. Dice is the mean over the labels of target and atlases, without background; a label that the
atlases have and the result has not counts as 0.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

import optreg
import tables
from optreg.io import load_image
from optreg.metrics import dice, mean_over_labels
from optreg.propagation import FUSIONS, LabelFusion

WAYS = ("single", *reversed(FUSIONS))
"""One atlas at a time (the mean of all), then all of them, fused."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder in LUMIR layout")
    parser.add_argument("--output", type=Path, required=True, help="folder for fields and tables")
    parser.add_argument("--targets", default="1001,1007,1014", help="numbers of people")
    parser.add_argument("--atlases", default="1000,1002,1003,1006,1013", help="numbers of people")
    parser.add_argument("--contrast", default="0000", help="of the target (default: 0000, T1w)")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    optreg.warm_up()
    records = {}
    for target in args.targets.split(","):
        scan = find(args.data, target, args.contrast)
        atlases = [find(args.data, n, "0000") for n in args.atlases.split(",") if n != target]
        settings: dict[str, Any] = {"preset": args.preset, "threads": args.threads}
        settings["keep"] = args.output / args.preset / f"{target}_{args.contrast}"
        records[target] = label(scan, atlases, settings)
        print(target, *(f"{way} {records[target][way]:.4f}" for way in WAYS), flush=True)
    settings = {key: str(value) for key, value in vars(args).items() if key != "output"}
    about = {"optreg": optreg.__version__, "machine": platform.machine(), "settings": settings}
    text = json.dumps({**about, "targets": records}, indent=1)
    (args.output / "propagation.json").write_text(text)
    shown = table(records)
    (args.output / "propagation.md").write_text(shown)
    print(shown, end="")


def find(data: Path, number: str, contrast: str) -> tuple[Path, Path]:
    """Image and label map of a person."""
    found = sorted((data / "imagesVal").glob(f"*_{number}_{contrast}.nii.gz"))
    if len(found) != 1:
        raise SystemExit(f"{data}: {len(found)} images *_{number}_{contrast}.nii.gz; one is needed")
    return found[0], data / "labelsVal" / found[0].name


def label(
    scan: tuple[Path, Path], atlases: list[tuple[Path, Path]], settings: dict[str, Any]
) -> dict[str, Any]:
    """Dice of each way to label a scan, and the seconds it takes once atlases are registered."""
    target, truth = (load_image(path) for path in scan)
    alone = [
        overlap(optreg.propagate(target, [atlas], fusion="majority", **settings), truth.data)
        for atlas in atlases
    ]
    record: dict[str, Any] = {"single": float(np.mean(alone)), "singles": alone, "seconds": {}}
    for fusion in FUSIONS:
        start = time.perf_counter()
        result = optreg.propagate(target, atlases, fusion=fusion, **settings)
        record[fusion] = overlap(result, truth.data)
        record["seconds"][fusion] = time.perf_counter() - start
    return record


def overlap(result: LabelFusion, truth: np.ndarray) -> float:
    """Mean Dice without background."""
    known = np.array(result.label_list).reshape(-1, 1, 1)
    found = dice(truth, result.labels.data, moving_labels=known)
    return mean_over_labels(found, background=False)


def table(records: dict[str, dict[str, Any]]) -> str:
    """Table of all targets and their mean, as Markdown."""
    rows = [["target", *WAYS, "best single"]]
    for target, record in records.items():
        rows.append([target, *(f"{record[way]:.4f}" for way in WAYS)])
        rows[-1].append(f"{max(record['singles']):.4f}")
    means = [np.mean([record[way] for record in records.values()]) for way in WAYS]
    best = np.mean([max(record["singles"]) for record in records.values()])
    return tables.table([*rows, ["mean", *(f"{m:.4f}" for m in means), f"{best:.4f}"]])


if __name__ == "__main__":
    main()
