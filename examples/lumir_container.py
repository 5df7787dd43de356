"""Entry of a test-phase container of the LUMIR challenge: reads the input, writes every field.

The organizers run the container without network, as any user, without a home folder. Paths of 2025
are the defaults; for 2024 give ``--input /input --dataset /LUMIR_dataset.json --output /output``.
Stopped half-way and run again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

_CACHES = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "CUPY_CACHE_DIR", "MPLCONFIGDIR")

_INTERRUPTED = 130


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", default="/app/input", help="folder with the images")
    parser.add_argument("--dataset", default="/app/LUMIR25_dataset.json")
    parser.add_argument("--split", default="test", help="list of the dataset")
    parser.add_argument("--output", default="/app/output", help="folder for the fields")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", default="1")
    args = parser.parse_args()
    output = Path(args.output)
    work = output / ".optreg"
    with tempfile.TemporaryDirectory(prefix="optreg-") as scratch:
        _use_caches(Path(scratch))
        from optreg.cli import main as optreg

        command = ["submit", "--dataset", args.dataset, "--images", args.input]
        command += ["--split", args.split, "--output", str(work), "--fill-zero"]
        command += ["--preset", args.preset, "--device", args.device, "--jobs", args.jobs]
        code = optreg(command)
    if code == _INTERRUPTED:
        return code  # what is done stays where a further run looks for it
    # The fields alone: that is what is scored. A pair that failed has a zero field.
    for field in sorted((work / "submission").glob("disp_*.nii.gz")):
        os.replace(field, output / field.name)
    if code in (0, 5):
        shutil.rmtree(work, ignore_errors=True)
    return code


def _use_caches(scratch: Path) -> None:
    """Give libraries a folder for what they keep; compiled code that came along is used.

    Only HOME must be set. Libraries find a place below it where nothing else is said, and optreg
    looks for compiled code beside its own first.
    """
    for name in _CACHES:
        folder = os.environ.get(name)
        if folder is None and name != "HOME":
            continue
        if folder and os.path.isdir(folder) and os.access(folder, os.W_OK):
            continue
        place = scratch / name.lower()
        if name == "NUMBA_CACHE_DIR" and folder and os.path.isdir(folder):
            shutil.copytree(folder, place)
        else:
            place.mkdir()
        os.environ[name] = str(place)


if __name__ == "__main__":
    sys.exit(main())
