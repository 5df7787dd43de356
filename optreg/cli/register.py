"""``optreg register``: a moving image onto a fixed one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg.cli.bids import registration_dataset
from optreg.cli.console import (
    SOME_FAILED,
    example,
    new_parser,
    part,
    progress,
    refuse_options,
    require_together,
)
from optreg.cli.inputs import (
    add_engine_options,
    add_output_options,
    config_of,
    load_chosen,
    outputs_of,
    start_of,
)
from optreg.cli.outcome import pictures_wanted, print_missing, print_outcome
from optreg.errors import ConfigError, GeometryError
from optreg.io.folder import check_folder, staged_folder

if TYPE_CHECKING:
    from optreg.image import Image

__all__ = ["add_parser", "run"]

_TEXT = """\
Writes into the output folder: disp.nii.gz (from the fixed to the moving image) and inverse.nii.gz
(back), both in the challenge's format, warped.nii.gz, config.toml, result.json, metrics.json,
report.html and overview.png. The fields come first: where a picture, a table or the report cannot
be made, that is said and the exit code is 5.

""" + example(
    "optreg register --fixed fixed.nii.gz --moving moving.nii.gz --output result",
    "optreg register --fixed t1.nii.gz --moving flair.nii.gz --similarity tissue \\",
    "    --fixed-labels t1_seg.nii.gz --moving-labels flair_seg.nii.gz --output result",
    "optreg register --fixed t1.nii.gz t2.nii.gz --moving old_t1.nii.gz old_t2.nii.gz \\",
    "    --fixed-mask no_lesion.nii.gz --output result",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "register", "register a moving image onto a fixed one", _TEXT)
    _add_images(parser)
    _add_results(parser)
    add_engine_options(parser)
    return parser


def _add_images(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("images")
    group.add_argument(
        "--fixed",
        required=True,
        nargs="+",
        metavar="IMAGE",
        help="image that stays; several are channels of it, such as T1w and T2w of one person",
    )
    group.add_argument(
        "--moving",
        required=True,
        nargs="+",
        metavar="IMAGE",
        help="image that is warped, or its channels in the same order",
    )
    group.add_argument(
        "--fixed-mask",
        metavar="IMAGE",
        help="compare only where this is above 0: without a lesion, within a field of view",
    )
    group.add_argument("--moving-mask", metavar="IMAGE", help="the same for the moving image")
    group.add_argument(
        "--weights", metavar="IMAGE", help="how much each place of the fixed image counts, from 0"
    )
    group.add_argument("--volume", type=int, metavar="N", help="volume of 4-D images, from 0")
    group.add_argument(
        "--nan-to", type=float, metavar="VALUE", help="replace NaN and infinite voxels"
    )
    group.add_argument(
        "--strict-grid", action="store_true", help="refuse a moving image on another grid"
    )
    group.add_argument(
        "--init",
        default="auto",
        metavar="START",
        help="start from this displacement field or ITK transform, or align first: affine, "
        "similarity, rigid, translation, or moments (centres of mass and extents); sitk-affine "
        "and so on is SimpleITK's search by mutual information; none trusts the headers "
        "(without: affine where the images lie apart)",
    )
    group.add_argument(
        "--refine",
        action="store_true",
        help="go on from the field of --init itself, at full resolution only: it is nearly right",
    )
    group.add_argument(
        "--axes",
        default="ijk",
        metavar="AXES",
        help="array axes of the fixed image along which to deform, such as j (without: ijk)",
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    group.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    group.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    group.add_argument(
        "--bids",
        action="store_true",
        help="DIR is a BIDS dataset of derivatives: names come from those of the images (sub-...)",
    )
    group.add_argument("--fixed-labels", metavar="IMAGE", help="label map of the fixed image")
    group.add_argument(
        "--moving-labels", metavar="IMAGE", help="label map of the moving image: measured, warped"
    )
    add_output_options(group)
    group.add_argument(
        "--format",
        action="append",
        choices=("l2r", "itk"),
        default=[],
        help="field format; itk is written besides l2r (ANTs, SimpleITK)",
    )
    group.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="HTML report and overview picture (without: where matplotlib is installed)",
    )


def run(args: argparse.Namespace) -> int:
    from optreg.registration import register
    from optreg.report.outcome import Attempts, judge, write_fields, write_outcome

    require_together(args.fixed_labels, args.moving_labels, "--fixed-labels and --moving-labels")
    if args.refine and args.init in ("auto", "none"):
        raise ConfigError("--refine needs a field to go on from; name it with --init")
    if args.bids:  # whose format is that of ITK
        refuse_options(args, ["--format"], "with --bids")
    config, outputs, place = config_of(args), _outputs(args), _place(args)
    fixed, moving = (
        [load_chosen(path, args.volume, args.nan_to) for path in paths]
        for paths in (args.fixed, args.moving)
    )
    for image in moving:
        if args.strict_grid and not image.grid.same_as(fixed[0].grid):
            raise GeometryError(
                f"{image.name}: is on another grid than {args.fixed[0]}; leave out --strict-grid"
            )
    labels = _labels(args.fixed_labels, fixed[0]), _labels(args.moving_labels, moving[0])
    attempts = Attempts()
    with progress(args.quiet) as report:
        with place() as folder:
            result = register(
                fixed,
                moving,
                config=config,
                similarity=args.similarity,
                init=start_of(args.init),
                refine=args.refine,
                fixed_mask=args.fixed_mask,
                moving_mask=args.moving_mask,
                weights=args.weights,
                axes=args.axes,
                device=args.device,
                threads=args.threads,
                progress=part(report, 0.0, 0.8),
            )
            report("writing", 0.8)
            write_fields(folder, result, outputs)
        report("measuring", 0.85)
        outcome = judge(result, *labels, attempts)
        with place(more=True) as folder:
            write_outcome(folder, outcome, outputs, attempts, progress=part(report, 0.9, 1.0))
    if not args.quiet:
        print_outcome(outcome)
        print(f"results in {Path(args.output)}")
        print_missing(attempts.failed)
    return SOME_FAILED if attempts.failed else 0


def _place(args: argparse.Namespace) -> Callable[..., AbstractContextManager[Path]]:
    """Where results go, checked as far as it can be now: called once, and then to add to it."""
    if args.bids:
        images = args.fixed[0], args.moving[0]
        return registration_dataset(Path(args.output), *images, args.overwrite)
    check_folder(args.output, args.overwrite)
    return partial(staged_folder, args.output, args.overwrite)


def _outputs(args: argparse.Namespace) -> set[str]:
    """What to write, of `optreg.report.outcome.OUTPUTS`."""
    wanted = outputs_of(args, bool(args.moving_labels))
    if args.bids or "itk" in args.format:
        wanted.add("itk")
    report = args.report if args.report is not None or "report" in wanted else False
    return wanted | {"report"} if pictures_wanted(report) else wanted - {"report"}


def _labels(path: str | None, image: Image) -> Image | None:
    """Label map of an image."""
    from optreg.io.labels import load_labels, require_overlap

    if path is None:
        return None
    labels = load_labels(path)
    require_overlap(labels, image.grid, image.name)
    return labels
