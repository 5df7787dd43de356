"""``optreg demo``: a registration with a known answer, without any data at hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from optreg.cli.console import example, new_parser, part, print_table, progress
from optreg.cli.folder import check_folder, staged_folder
from optreg.cli.inputs import add_engine_options, config_of
from optreg.cli.outcome import Outcome, judge, pictures_wanted, print_outcome, write_outcome

__all__ = ["add_parser", "run"]

_TEXT = """\
Deforms the MNI152 template by a known smooth deformation of up to 10 mm, changes its contrast,
registers it back and prints how far the result is from the truth. Needs no download
(the template comes with nilearn: pip install 'optreg[demo]') and under two minutes on two cores.

""" + example("optreg demo", "optreg demo --output my-demo --preset fast")


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "demo", "register a built-in pair with a known answer", _TEXT)
    parser.add_argument(
        "--output", default="optreg-demo", metavar="DIR", help="folder (without: optreg-demo)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    parser.add_argument(
        "--voxel-mm",
        type=int,
        choices=(1, 2, 3, 4),
        default=1,
        help="voxel size: larger is quicker (without: 1)",
    )
    add_engine_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    from optreg.demo import TISSUES, make_pair, true_error_mm
    from optreg.io import save_image, write_field
    from optreg.registration import register
    from optreg.warmup import warm_up

    config = config_of(args)
    pictures = pictures_wanted(None)
    check_folder(args.output, args.overwrite)
    with staged_folder(args.output, args.overwrite) as folder, progress(args.quiet) as report:
        report("making a pair", 0.0)
        pair = make_pair(factor=args.voxel_mm)
        report("compiling (once)", 0.1)
        settings = {"config": config, "similarity": args.similarity}
        settings |= {"device": args.device, "threads": args.threads}
        warm_up(**settings)
        result = register(pair.fixed, pair.moving, **settings, progress=part(report, 0.4, 0.8))
        report("measuring", 0.8)
        outcome = judge(result, pair.fixed_labels, pair.moving_labels)
        outcome.metrics["true_error"] = true_error_mm(pair, result.disp)
        outcome.before["true_error"] = true_error_mm(pair)
        write_outcome(
            folder,
            outcome,
            pictures=pictures,
            report=part(report, 0.9, 1.0),
            title="Demo: the MNI152 template, deformed by a known field",
        )
        grid = pair.fixed.grid
        for name in ("fixed", "moving", "fixed_labels", "moving_labels"):
            save_image(folder / f"{name}.nii.gz", getattr(pair, name).data, grid)
        write_field(folder / "truth.nii.gz", pair.truth, grid)
    if not args.quiet:
        _print(outcome, TISSUES, Path(args.output), pictures)
    return 0


def _print(outcome: Outcome, tissues: dict[int, str], folder: Path, pictures: bool) -> None:
    print_outcome(outcome)
    then, now = (m["dice"]["per_label"] for m in (outcome.before, outcome.metrics))
    print()
    print_table(
        [
            (f"Dice, {name}", f"{then[label]:.3f}", f"{now[label]:.3f}")
            for label, name in tissues.items()
            if label in now
        ],
        header=("", "before", "after"),
    )
    print(f"\nresults  {folder}")
    if pictures:
        print(f"picture  {folder / 'overview.png'}")
        print(f"report   {folder / 'report.html'}   (open it in a browser)")
