"""Programs of other methods that the user points at: run them, and say which they were."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


def run_program(command: Sequence[object], threads: int) -> None:
    """Run a program to its end; what it prints goes to the log of the method.

    Raises
    ------
    SystemExit
        It is not there, or ended with an error.
    """
    words = [str(word) for word in command]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run(words, check=False, env=environment, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise SystemExit(f"{words[0]}: cannot be run ({error.strerror})") from error
    if done.returncode:
        raise SystemExit(f"{words[0]}: ended with {done.returncode}")


def fingerprint(program: str | Path) -> str:
    """SHA-256 of a program's file: these programs do not all tell their version."""
    try:
        return hashlib.sha256(Path(program).read_bytes()).hexdigest()
    except OSError as error:
        raise SystemExit(f"{program}: cannot be read ({error.strerror})") from error
