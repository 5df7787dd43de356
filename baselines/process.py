"""One registration in a process of its own, timed and weighed the same way for every method.

The method's side (`main`) runs in the environment of the method and needs only NumPy; the caller's
side (`call`) starts it. What passes between them are files beside each other:

``STEM.npy``            displacement (3, X, Y, Z), float32, voxels of the fixed grid
``STEM.inverse.npy``    the inverse, from methods that give one
``STEM.run.json``       seconds, memory, versions; written last, so it stands for a complete run
``STEM.log``            what the method printed
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import numpy as np


@dataclass
class Fields:
    """What the ``run`` of every method returns.

    Attributes
    ----------
    disp : ndarray (3, X, Y, Z), float32
        Displacement in voxels on the fixed grid, ``warped(x) = moving(x + disp(x))``.
    inverse : ndarray (3, X, Y, Z) or None
        Displacement of the inverse, if the method gives one.
    notes : dict
        Anything plain that is worth keeping.
    """

    disp: np.ndarray
    inverse: np.ndarray | None = None
    notes: dict[str, Any] = field(default_factory=dict)


Run = Callable[..., Fields]
"""``run(fixed_path, moving_path, *, threads, **settings)``: registers one pair of NIfTI images that
are in one world and affinely aligned, with so many CPU threads."""


def main(run: Run, packages: tuple[str, ...], prepare: Callable[..., None] | None = None) -> None:
    """Command line of a method: run it once and write its files.

    Parameters
    ----------
    run : callable
        ``run(fixed_path, moving_path, threads=N, **settings)``; it alone is timed, from image
        files to arrays.
    packages : tuple of str
        Distributions whose versions are recorded.
    prepare : callable, optional
        ``prepare(threads=N, **settings)``, not timed: compilation that a user pays once.
    """
    parser = argparse.ArgumentParser(description="Register one pair; see baselines/README.md")
    parser.add_argument("fixed", type=Path)
    parser.add_argument("moving", type=Path)
    parser.add_argument("stem", type=Path, help="output files start with this")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--settings", type=json.loads, default={}, metavar="JSON")
    args = parser.parse_args()
    if prepare is not None:
        prepare(threads=args.threads, **args.settings)
    start = time.perf_counter()
    fields = run(args.fixed, args.moving, threads=args.threads, **args.settings)
    seconds = time.perf_counter() - start
    peak = peak_memory_mb()
    _save(args.stem, ".npy", fields.disp)
    if fields.inverse is not None:
        _save(args.stem, ".inverse.npy", fields.inverse)
    record = {
        "seconds": seconds,
        "peak_memory_mb": peak,
        "threads": args.threads,
        "settings": args.settings,
        "versions": {name: _version(name) for name in packages},
        "notes": fields.notes,
    }
    write_text(beside(args.stem, ".run.json"), json.dumps(record, indent=1))


def peak_memory_mb() -> float:
    """Largest resident memory so far of this process, or of a program that it ran, in MB."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    programs = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e6
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: its maximum is inherited from the process that started this one.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return max(int(line.split()[1]) * 1024 / 1e6, programs)
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, programs)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # a source tree that is used without installing it
        return str(getattr(sys.modules.get(name), "__version__", "unknown"))


def beside(stem: Path, suffix: str) -> Path:
    """``STEM`` with a suffix added; a dot in the stem itself is no suffix."""
    return stem.with_name(stem.name + suffix)


def write_text(path: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    part = beside(path, ".part")
    part.write_text(text)
    part.replace(path)


def _save(stem: Path, suffix: str, array: np.ndarray) -> None:
    if array.ndim != 4 or array.shape[0] != 3 or array.dtype != np.float32:
        raise ValueError(f"field is {array.dtype} {array.shape}; float32 (3, X, Y, Z) is needed")
    part = beside(stem, suffix + ".part")
    with part.open("wb") as stream:
        np.save(stream, array)
    part.replace(beside(stem, suffix))


def call(
    python: Path,
    script: str,
    pair: tuple[Path, Path],
    stem: Path,
    *,
    threads: int,
    settings: Mapping[str, Any],
    limit_s: float | None = None,
) -> dict[str, Any]:
    """Run a method's script in its environment; return its record.

    Parameters
    ----------
    python : Path
        Interpreter of the method's environment.
    script : str
        File in this folder, or a whole path.
    pair : tuple of Path
        Fixed and moving image.
    stem : Path
        See the module.
    threads : int
        CPU threads the method may use.
    settings : mapping
        Passed to its ``run``.
    limit_s : float, optional
        After this many seconds it is ended.

    Raises
    ------
    RuntimeError
        The method failed, and the message holds the end of its log; or it took too long.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    log = beside(stem, ".log")
    count = str(threads)
    # ITK and OpenMP read these when they are loaded; inside the process it would be too late.
    limits = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": count, "OMP_NUM_THREADS": count}
    command = [str(python), str(Path(__file__).parent / script), *map(str, pair), str(stem)]
    command += ["--threads", count, "--settings", json.dumps(dict(settings))]
    start = time.perf_counter()
    with log.open("w") as output:
        code = _ended(command, output, {**os.environ, **limits}, limit_s)
    total = time.perf_counter() - start
    path = beside(stem, ".run.json")
    if code or not path.exists():
        tail = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{script} ended with {code}: {' '.join(tail)} (see {log})")
    record = json.loads(path.read_text())
    record["process_seconds"] = total
    write_text(path, json.dumps(record, indent=1))
    return record


def _ended(
    command: list[str], output: IO[str], environment: dict[str, str], limit_s: float | None
) -> int:
    """Exit status of a command; it does not outlive this call."""
    # A session of its own, so that the programs a method has started can be ended with it.
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )
    try:
        return child.wait(limit_s)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"took longer than {limit_s:g} seconds") from None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
