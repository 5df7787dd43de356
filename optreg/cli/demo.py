"""``optreg demo``: a registration with a known answer, without any data at hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg.cli.console import SOME_FAILED, example, new_parser, part, print_table, progress
from optreg.cli.inputs import add_engine_options, config_of
from optreg.cli.outcome import pictures_wanted, print_missing, print_outcome
from optreg.io.folder import check_folder, staged_folder

if TYPE_CHECKING:
    from optreg.report.outcome import Outcome

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
    from optreg.report.outcome import Attempts, judge, write_fields, write_outcome
    from optreg.warmup import warm_up

    config, attempts = config_of(args), Attempts()
    outputs = {"inverse", "warped", "labels"} | ({"report"} if pictures_wanted(None) else set())
    check_folder(args.output, args.overwrite)
    with progress(args.quiet) as report:
        report("making a pair", 0.0)
        pair = make_pair(factor=args.voxel_mm)
        report("compiling (once)", 0.1)
        settings = {"config": config, "similarity": args.similarity}
        settings |= {"device": args.device, "threads": args.threads}
        warm_up(**settings)
        result = register(pair.fixed, pair.moving, **settings, progress=part(report, 0.4, 0.8))
        with staged_folder(args.output, args.overwrite) as folder:
            write_fields(folder, result, outputs)
            grid = pair.fixed.grid
            for name in ("fixed", "moving", "fixed_labels", "moving_labels"):
                save_image(folder / f"{name}.nii.gz", getattr(pair, name).data, grid)
            write_field(folder / "truth.nii.gz", pair.truth, grid)
        report("measuring", 0.8)
        outcome = judge(result, pair.fixed_labels, pair.moving_labels, attempts)
        with attempts("the distance to the truth"):
            outcome.before["true_error"] = true_error_mm(pair)
            outcome.metrics["true_error"] = true_error_mm(pair, result.disp)
        title = "Demo: the MNI152 template, deformed by a known field"
        with staged_folder(args.output, True, more=True) as folder:
            inner = part(report, 0.9, 1.0)
            write_outcome(folder, outcome, outputs, attempts, title=title, progress=inner)
    if not args.quiet:
        _print(outcome, TISSUES, Path(args.output))
        print_missing(attempts.failed)
    return SOME_FAILED if attempts.failed else 0


def _print(outcome: Outcome, tissues: dict[int, str], folder: Path) -> None:
    print_outcome(outcome)
    dice = (m.get("dice", {}).get("per_label", {}) for m in (outcome.before, outcome.metrics))
    then, now = dice
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
    for what, name in (("picture", "overview.png"), ("report", "report.html")):
        if (folder / name).exists():
            print(f"{what:<8} {folder / name}")
