"""``optreg convert``: transforms and landmarks from one format to another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg.cli.console import example, grid_text, new_parser, refuse_options
from optreg.cli.inputs import load_grid
from optreg.errors import ConfigError

if TYPE_CHECKING:
    from optreg.grid import Grid
    from optreg.transform import Affine, DisplacementField

    Transform = Affine | DisplacementField

__all__ = ["add_parser", "run"]

_FORMATS = {
    "l2r": "Learn2Reg / LUMIR: NIfTI (X,Y,Z,3), voxels",
    "npz": "the same, (3,X,Y,Z), as an array of NumPy: .npz",
    "itk": "ITK, ANTs, SimpleITK: NIfTI (X,Y,Z,1,3), .mha, .nrrd, .h5;",
    "": "affines: .tfm, .txt, .mat, .h5",
    "fsl": "FSL: warp of displacements, NIfTI (X,Y,Z,3)",
    "fsl-abs": "FSL: warp of positions, NIfTI (X,Y,Z,3)",
    "spm": "SPM (y_*.nii), NiftyReg: positions in mm, NIfTI (X,Y,Z,1,3)",
    "torch": "grid of torch's grid_sample, align_corners=False: .npz, .npy",
    "torch-aligned": "the same for align_corners=True",
    "flirt": "FSL: matrix of FLIRT, text",
    "ras": "4x4 matrix from fixed to moving RAS mm, text",
}
_NAMES = tuple(filter(None, _FORMATS))
# Endings that say all there is to know of the format to write.
_FORMAT_OF_ENDING = {
    ".npz": "npz", ".mha": "itk", ".nrrd": "itk", ".h5": "itk", ".tfm": "itk",
}  # fmt: skip
_OF_FIELDS = ("--from", "--to", "--compose", "--via", "--inverse", "--moving")

_TEXT = f"""\
Formats:
{chr(10).join(f"  {name:<13}  {what}" for name, what in _FORMATS.items())}

Without --from, the ending and the header of a file decide; without --to, the ending of --output,
where only one format has it. A transform maps the fixed to the moving image. With --compose, a
point of the fixed image goes through --field first and then through the others in their order,
which is the order of antsApplyTransforms -t as well. With --inverse, the result maps the moving
to the fixed image and is on the grid of --moving.

With --points, landmarks of the image --fixed are converted: .csv, .fcsv, .mrk.json.

""" + example(
    "optreg convert --field result/disp.nii.gz --fixed fixed.nii.gz --to itk \\",
    "    --output warp.nii.gz",
    "optreg convert --field 1Warp.nii.gz --compose 0GenericAffine.mat --to fsl \\",
    "    --fixed fixed.nii.gz --moving moving.nii.gz --output fslwarp.nii.gz",
    "optreg convert --field warp.nii.gz --compose flirt.mat --from fsl flirt --to itk \\",
    "    --fixed mni.nii.gz --via t1.nii.gz --moving epi.nii.gz --output warp.h5",
    "optreg convert --points fiducials.fcsv --fixed fixed.nii.gz --output points.csv",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    summary = "convert a transform or landmarks to another format"
    parser = new_parser(commands, "convert", summary, _TEXT)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--field", metavar="IN", help="transform to convert")
    what.add_argument("--points", metavar="IN", help="landmarks to convert")
    parser.add_argument(
        "--fixed", metavar="IMAGE", help="fixed image, for its grid, where --field does not tell it"
    )
    parser.add_argument(
        "--moving", metavar="IMAGE", help="moving image, likewise, if it is on another grid"
    )
    parser.add_argument("--output", required=True, metavar="OUT", help="file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    group = parser.add_argument_group("with --field")
    group.add_argument(
        "--from",
        dest="sources",
        nargs="+",
        choices=("auto", *_NAMES),
        metavar="FORMAT",
        help="format of all files, or one for each, 'auto' included",
    )
    group.add_argument("--to", choices=_NAMES, metavar="FORMAT", help="format to write")
    group.add_argument(
        "--compose", nargs="+", default=[], metavar="IN", help="transforms that follow --field"
    )
    group.add_argument(
        "--via",
        nargs="+",
        default=[],
        metavar="IMAGE",
        help="with --compose: images between the transforms (without: on the grid of --fixed); "
        "formats of FSL need them",
    )
    group.add_argument("--inverse", action="store_true", help="write the inverse")
    return parser


def run(args: argparse.Namespace) -> int:
    from optreg.io.files import check_writable

    if args.points:
        refuse_options(args, _OF_FIELDS, "with --points")
    if not args.compose:
        refuse_options(args, ["--via"], "without --compose")
    target = "" if args.points else _target(args)
    sources = _sources(args)
    if args.via and len(args.via) != len(args.compose):
        raise ConfigError(f"--via names {len(args.via)} images; {len(args.compose)} are between")
    check_writable(args.output, args.overwrite)
    fixed, moving = (load_grid(path) if path else None for path in (args.fixed, args.moving))
    if args.field:
        fixed, moving = _told(args, fixed, moving)
    if fixed is None:
        raise ConfigError("the grid of the fixed image is not known; name the image with --fixed")
    if args.points:
        return _points(args, fixed)
    between = [load_grid(path) for path in args.via]
    unknown: list[Grid | None] = [None] * len(args.compose)
    places = [fixed, *(between or unknown), moving]
    paths = [args.field, *args.compose]
    chain = [
        _read(path, source, places[i : i + 2], fixed)
        for i, (path, source) in enumerate(zip(paths, sources, strict=True))
    ]
    if args.inverse:
        chain = [
            _inverse(one, place or fixed) for one, place in zip(chain, places[1:], strict=True)
        ][::-1]
        fixed, moving = moving or fixed, fixed
    return _write(args, _joined(chain, fixed, moving), target, fixed, moving)


def _told(
    args: argparse.Namespace, fixed: Grid | None, moving: Grid | None
) -> tuple[Grid | None, Grid | None]:
    """Grids of the images that options name, else those that the first and last file tell."""
    from optreg.io.fields import grids_of_file

    first, last = (grids_of_file(path) for path in (args.field, (args.compose or [args.field])[-1]))
    return fixed or (first and first[0]), moving or (last and last[1])


def _read(path: str, source: str | None, images: Sequence[Grid | None], fixed: Grid) -> Transform:
    """One of the transforms; `images` are its own two, as far as they are known."""
    from optreg.io.fields import read_transform

    # Only a matrix of FLIRT must know; voxels are those of the fixed image where nothing is said.
    first = images[0] if source == "flirt" else images[0] or fixed
    return read_transform(path, first, images[1], format=source)


def _write(
    args: argparse.Namespace, result: Transform, target: str, fixed: Grid, moving: Grid | None
) -> int:
    from optreg.io.fields import holds_affine, write_transform
    from optreg.transform import Affine

    write_transform(args.output, result, fixed, moving, format=target, overwrite=args.overwrite)
    if not args.quiet:
        stays = isinstance(result, Affine) and holds_affine(args.output, target)
        what = "affine" if stays else f"field of {grid_text(fixed)}"
        print(f"{args.output}: {what}, format {target}")
    return 0


def _points(args: argparse.Namespace, fixed: Grid) -> int:
    from optreg.io.landmarks import read_landmarks, write_landmarks

    landmarks = read_landmarks(args.points, fixed)
    write_landmarks(args.output, landmarks, overwrite=args.overwrite)
    if not args.quiet:
        print(f"{args.output}: {len(landmarks.names)} points")
    return 0


def _target(args: argparse.Namespace) -> str:
    """Format to write, told or from the ending."""
    ending = Path(args.output).suffix.lower()
    target = args.to or _FORMAT_OF_ENDING.get(ending)
    if target is None:
        raise ConfigError(f"{args.output}: its ending leaves the format open; choose one with --to")
    return str(target)


def _sources(args: argparse.Namespace) -> list[str | None]:
    """Format of each file to read, None where it has to be found out."""
    count = 1 + len(args.compose)
    told = args.sources or ["auto"]
    if len(told) not in (1, count):
        raise ConfigError(f"--from names {len(told)} formats for {count} files; name 1 or {count}")
    told = told * count if len(told) == 1 else told
    return [None if name == "auto" else name for name in told]


def _inverse(transform: Transform, grid: Grid) -> Transform:
    """Inverse, on the grid of the image that `transform` maps to."""
    from optreg.transform import Affine, invert_onto

    return transform.invert() if isinstance(transform, Affine) else invert_onto(transform, grid)


def _joined(chain: Sequence[Transform], fixed: Grid, moving: Grid | None) -> Transform:
    """All transforms in one, the first of them first; a field is on the fixed grid."""
    from optreg.transform import Affine, DisplacementField

    affines = [one for one in chain if isinstance(one, Affine)]
    if len(affines) == len(chain):
        return reduce(lambda done, one: one.compose(done), affines)
    field = DisplacementField.identity(fixed)
    for one in chain:
        field = one.after(field) if isinstance(one, Affine) else one.compose(field)
    return DisplacementField(field.disp, fixed, moving)
