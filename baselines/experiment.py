"""What changes the result of a registration: contrast, resolution, preprocessing, time.

``python baselines/experiment.py contrast --data DATA --output OUT``

Each experiment writes a table (``OUT/NAME.md``, ``.json``) and a figure (``OUT/NAME.png``). Every
registration leaves a record below ``OUT/NAME`` and is not done again; after a change of optreg
remove the records of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import compare
from experiments import atlas, contrast, curves, rescan, resolution, sensitivity
from experiments.runs import Runs
from optreg.errors import OptregError

EXPERIMENTS: dict[str, Callable] = {
    "contrast": contrast.run,
    "resolution": resolution.run,
    "sensitivity": sensitivity.run,
    "rescan": rescan.run,
    "atlas": atlas.run,
    "curves": curves.run,
}


def _binary(text: str) -> tuple[str, str, str]:
    method, _, path = text.partition("=")
    if not method or not Path(path).exists():
        raise argparse.ArgumentTypeError(f"'{text}' is not METHOD=PATH of a program")
    return method, "binary", path


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", choices=EXPERIMENTS)
    compare.add_options(parser)
    parser.add_argument("--methods", default="optreg-default", metavar="A,B,...")
    parser.add_argument(
        "--binary",
        type=_binary,
        action="append",
        default=[],
        metavar="METHOD=PATH",
        help="program of a method that has no environment",
    )
    parser.add_argument(
        "--records", type=Path, metavar="OUT", help="output of compare.py: others' points"
    )
    parser.add_argument("--voxel-mm", type=float, metavar="MM", help="resample all images first")
    parser.add_argument("--only", metavar="A,B,...", help="these conditions of the experiment")
    args = parser.parse_args(argv)
    runs = Runs(args.output, args.envs, args.threads, args.time_limit)
    try:
        wanted = compare.wanted_methods(args.methods, args.binary)
        for method in wanted:
            method.python(args.envs)
        EXPERIMENTS[args.experiment](args, runs, wanted)
    except (ValueError, OSError, RuntimeError, OptregError) as error:
        parser.exit(2, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
