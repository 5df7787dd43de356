"""Make the environment of another method: ``python baselines/setup_env.py greedy ants``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

# Each method has dependencies that exclude those of another, so each gets its own folder.
PACKAGES = {
    "greedy": ["picsl-greedy", "SimpleITK", "numpy"],
    "ants": ["antspyx", "numpy"],
    "convexadam": ["convexAdam", "numpy"],
    "elastix": ["itk-elastix", "numpy"],
    "fireants": ["fireants", "numpy"],
}
DEFAULT_FOLDER = Path(__file__).resolve().parent / ".envs"


def interpreter(folder: Path, environment: str) -> Path:
    """Python of an environment below a folder."""
    parts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return folder.joinpath(environment, *parts)


def make(folder: Path, environment: str) -> Path:
    """Create an environment, or complete one that is there; return its interpreter."""
    python = interpreter(folder, environment)
    if not python.exists():
        venv.create(folder / environment, with_pip=True)
    command = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[environment]]
    subprocess.run(command, check=True)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", nargs="+", choices=sorted(PACKAGES))
    parser.add_argument("--envs", type=Path, default=DEFAULT_FOLDER, metavar="DIR")
    args = parser.parse_args()
    for method in args.method:
        try:
            print(make(args.envs, method))
        except subprocess.CalledProcessError as error:
            print(f"error: {method}: pip ended with {error.returncode}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
