"""``optreg propagate``: labels of atlases brought to a subject."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optreg.cli.bids import check_dataset, staged_dataset
from optreg.cli.console import (
    SOME_FAILED,
    example,
    new_parser,
    print_table,
    progress,
    refuse_options,
)
from optreg.cli.inputs import (
    add_engine_options,
    config_of,
    start_of,
)
from optreg.cli.outcome import pictures_wanted, print_missing
from optreg.errors import ConfigError, InputError
from optreg.io.folder import check_folder, content, staged_folder

if TYPE_CHECKING:
    from optreg.propagation import Atlas, LabelFusion

__all__ = ["add_parser", "run"]

_KEPT = "atlases"
_TEXT = """\
Registers each atlas (an image and its label map) to the target, warps its labels and lets the
atlases vote in every voxel: all alike (majority), or each by how much its warped image looks like
the target around there (weighted). The votes in the six voxels around decide where there are
equally many (majority), or count a third (weighted).

Writes into the output folder: labels.nii.gz and agreement.nii.gz (share of the votes that the
label has) on the grid of the target, volumes.csv, config.toml, result.json, overview.png, and with
--target-labels metrics.json with the Dice of each label. With --keep also the field of each atlas;
the same command then goes on where it was stopped.

""" + example(
    "optreg propagate --target subject.nii.gz --atlas a.nii.gz a_seg.nii.gz \\",
    "    --atlas b.nii.gz b_seg.nii.gz --output labelled",
    "optreg propagate --target subject.nii.gz --atlases atlases.csv --init affine --keep \\",
    "    --output labelled",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "propagate", "label an image by one or several atlases", _TEXT)
    files = parser.add_argument_group("files")
    files.add_argument("--target", required=True, metavar="IMAGE", help="image to be labelled")
    files.add_argument(
        "--atlas",
        nargs=2,
        action="append",
        default=[],
        metavar=("IMAGE", "LABELS"),
        help="an atlas; may be given several times",
    )
    files.add_argument(
        "--atlases",
        metavar="CSV",
        help="table of atlases with the columns image, labels and perhaps name; names of files "
        "are relative to its folder",
    )
    files.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    files.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    files.add_argument(
        "--keep", action="store_true", help=f"keep the fields in {_KEPT}/ and use those kept there"
    )
    files.add_argument(
        "--init",
        default="auto",
        metavar="START",
        help="align each atlas first: affine, similarity, rigid, translation, moments, or "
        "SimpleITK's sitk-affine and so on; none trusts the headers (without: affine for those "
        "that lie apart)",
    )
    files.add_argument("--target-labels", metavar="IMAGE", help="true labels: Dice is measured")
    files.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="overview picture (without: where matplotlib is installed)",
    )
    files.add_argument(
        "--bids",
        action="store_true",
        help="DIR is a BIDS dataset of derivatives: names come from the target's (sub-...)",
    )
    votes = parser.add_argument_group("votes")
    votes.add_argument("--fusion", choices=("weighted", "majority"), help="(without: weighted)")
    votes.add_argument(
        "--radius", type=int, metavar="VOXELS", help="weights: of the cubes that are compared"
    )
    votes.add_argument("--power", type=float, help="weights: power of the local similarity")
    add_engine_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from optreg.io import load_image
    from optreg.io.labels import load_labels, on_grid
    from optreg.io.tables import json_text
    from optreg.propagation import propagate
    from optreg.report.outcome import Attempts

    if args.fusion == "majority":
        refuse_options(args, ["--radius", "--power"], "with --fusion majority")
    config, atlases = config_of(args), _atlases(args)
    pictures = pictures_wanted(args.report)
    result_folder = _bids_folder(args) if args.bids else _plain_folder(args)
    target, truth = load_image(args.target), None
    if args.target_labels:
        truth = on_grid(load_labels(args.target_labels), target.grid, args.target)
    chosen = {"fusion": args.fusion, "radius_vox": args.radius, "power": args.power}
    with progress(args.quiet) as report:
        result = propagate(
            target,
            atlases,
            config=config,
            similarity=args.similarity,
            init=start_of(args.init),
            device=args.device,
            threads=args.threads,
            keep=Path(args.output) / _KEPT if args.keep else None,
            progress=report,
            **{name: value for name, value in chosen.items() if value is not None},
        )
    attempts, overlap = Attempts(), None
    with result_folder() as folder:
        result.save(folder, overwrite=True)
        if args.bids:
            (folder / "labels.tsv").write_text(_label_table(result), encoding="utf-8")
    with result_folder(more=True) as folder:
        if truth is not None:
            with attempts("metrics.json"):
                overlap = _overlap(result, truth)
                text = json_text({"dice": overlap})
                (folder / "metrics.json").write_text(text, encoding="utf-8")
        if pictures:
            with attempts("overview.png"):
                _draw(folder / "overview.png", result)
    if not args.quiet:
        _print(result, overlap)
        print(f"results in {args.output}")
        print_missing(attempts.failed)
    return SOME_FAILED if attempts.failed else 0


def _plain_folder(args: argparse.Namespace) -> Callable[..., AbstractContextManager[Path]]:
    """Where results go, checked as far as it can be now: called once, and then to add to it."""
    output = Path(args.output)
    # What a run that was stopped has kept is no result yet, so nothing is lost by going on there.
    fresh = not output.exists() or (output.is_dir() and content(output) <= {_KEPT})
    overwrite = args.overwrite or (args.keep and fresh)
    check_folder(output, overwrite)
    return partial(staged_folder, output, overwrite)


def _bids_folder(args: argparse.Namespace) -> Callable[..., AbstractContextManager[Path]]:
    from optreg.io.bids import labelling_names, sidecar

    if args.keep:
        raise ConfigError("--keep and --bids exclude each other; give one")
    root, names = Path(args.output), labelling_names(args.target)
    check_dataset(root, names, args.overwrite)
    said = sidecar(args.target, args.target, root)
    return partial(staged_dataset, root, names, args.overwrite, lambda name: said)


def _atlases(args: argparse.Namespace) -> list[Atlas]:
    from optreg.io.files import check_readable
    from optreg.io.tables import read_rows
    from optreg.propagation import Atlas

    found = [(Path(image), Path(labels), "") for image, labels in args.atlas]
    if args.atlases:
        table = Path(args.atlases)
        for number, row in enumerate(read_rows(table, {"image", "labels"}), start=1):
            if not row["image"] or not row["labels"]:
                raise InputError(f"{table}: row {number} lacks an image or labels; give both")
            image, labels = (table.parent / row[column] for column in ("image", "labels"))
            found.append((image, labels, row.get("name") or ""))
    if not found:
        raise ConfigError("no atlas; give --atlas IMAGE LABELS, or a table with --atlases")
    for image, labels, _ in found:  # before the first of many registrations
        check_readable(image)
        check_readable(labels)
    return [Atlas(*atlas) for atlas in found]


def _overlap(result: LabelFusion, truth: Any) -> dict[str, Any]:
    from optreg.metrics import dice, mean_over_labels

    # A label that the atlases have and no voxel got counts as missed, not as unknown.
    known = np.array(result.label_list).reshape(-1, 1, 1)
    per_label = dice(truth.data, result.labels.data, moving_labels=known)
    return {
        "mean": mean_over_labels(per_label),
        "mean_without_background": mean_over_labels(per_label, background=False),
        "per_label": per_label,
    }


def _draw(path: Path, result: LabelFusion) -> None:
    from optreg.report.segmentation import save_segmentation

    title = f"{Path(result.target.name).name}: atlases voted, {len(result.atlases)} in all"
    labels, agreement = result.labels.data, result.agreement
    save_segmentation(path, result.target, labels, agreement, title=title)


def _label_table(result: LabelFusion) -> str:
    """Table of the labels as BIDS has it: tabs, a name for each, n/a for what is unknown."""
    rows: list[tuple[Any, ...]] = [("index", "name", "voxels", "volume_mm3", "agreement")]
    for v in result.volumes():
        sure = f"{v.agreement:.4f}" if v.voxels else "n/a"
        rows.append((v.label, f"label {v.label}", v.voxels, f"{v.volume_mm3:.3f}", sure))
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def _print(result: LabelFusion, overlap: dict[str, Any] | None) -> None:
    rows = [
        [
            atlas["name"],
            f"{100 * atlas['vote_share']:.1f}",
            f"{100 * atlas['same_label']:.1f}",
            "kept" if atlas["kept"] else f"{atlas['seconds']['register']:.1f}",
        ]
        for atlas in result.atlases
    ]
    print_table(rows, header=("atlas", "votes, %", "has the label that won, %", "seconds"))
    print()
    header = ["label", "voxels", "volume, mm3", "agreement"]
    table = [
        [v.label, v.voxels, f"{v.volume_mm3:.1f}", f"{v.agreement:.3f}" if v.voxels else ""]
        for v in result.volumes()
    ]
    if overlap is not None:
        header.append("Dice")
        for row in table:
            value = overlap["per_label"][row[0]]
            row.append("" if isnan(value) else f"{value:.3f}")
    print_table(table, header=header)
    if overlap is not None:
        print(f"\nDice (without background) {overlap['mean_without_background']:.4f}")
