"""``optreg warm-up``: compile all kernels once, for images of containers."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from optreg.cli.console import example, new_parser
from optreg.errors import OutputError

__all__ = ["add_parser", "run"]

_TEXT = """\
The first registration on a machine compiles the kernels for its processor, about a minute. Where
nothing can be kept (a container that is run read-only, or as a user without a home), each process
would do so. This compiles them all, those of rare settings too, into a folder, which may be
read-only afterwards: set NUMBA_CACHE_DIR to it.

Compiled code is found again by the path and the time of the source files and by the processor:
optreg has to be installed in the same place, unchanged. With NUMBA_CPU_NAME=generic set, here and
later, it runs on every processor of the kind, more slowly.

""" + example(
    "optreg warm-up --cache /opt/optreg-kernels",
    "NUMBA_CACHE_DIR=/opt/optreg-kernels optreg register --fixed ... --moving ... --output ...",
)

_CHILD = "import sys; from optreg.cli import main; sys.exit(main(sys.argv[1:]))"


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "warm-up", "compile all kernels before they are needed", _TEXT)
    parser.add_argument(
        "--cache",
        metavar="FOLDER",
        help="where to keep them (without: where they are kept anyway, see optreg info)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    from optreg.io.files import make_folder

    if args.cache is not None:
        folder = make_folder(args.cache).resolve()
        # In a process of its own: numba looks for the folder once, when it is loaded. And not where
        # we are: what lies there would be imported in place of this package.
        paths = os.pathsep.join(map(os.path.abspath, sys.path))
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": paths}
        words = ["warm-up", *(["--quiet"] if args.quiet else [])]
        command = [sys.executable, "-c", _CHILD, *words]
        done = subprocess.run(command, env=environment, cwd=folder, check=False)
        if done.returncode == 0 and not args.quiet:
            print(f"set     NUMBA_CACHE_DIR={folder}")
        return done.returncode
    from optreg.kernels import cache_folder
    from optreg.warmup import compile_everything

    kept = cache_folder()
    if kept is None:
        raise OutputError("no folder takes compiled kernels; name one with --cache")
    compile_everything(device="cpu")
    if not args.quiet:
        count = sum(1 for _ in Path(kept).rglob("*.nbc"))
        print(f"{count} compiled kernels in {kept}")
    return 0
