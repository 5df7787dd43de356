"""A trial of what a library does with a file, in a process that may die of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from optreg.errors import InputError
from optreg.io.files import largest_content

__all__ = ["require_sound_hdf5"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SECONDS = 2
_WAIT_PER_SECOND = 30.0
_BYTES_PER_SECOND = 20_000_000
_BYTES = 4 << 30

# Limits count from the end of the import, which takes as long as it takes.
_CODE = """
import sys
seconds, size, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
sys.path[:] = sys.argv[4:]
import SimpleITK
try:
    import resource
except ImportError:
    pass
else:
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {"CPU": int(used.ru_utime + used.ru_stime) + 1 + seconds, "AS": size, "CORE": 0}
    for name, limit in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(kind, (limit, limit))
SimpleITK.ReadTransform(path)
"""


def require_sound_hdf5(path: Path) -> None:
    """Raise unless ITK reads the transforms of an HDF5 file in a reasonable time.

    The HDF5 library trusts what a file says of its own structure: one wrong byte can make it read
    outside of its memory, which ends the process, or go round in circles for ever. So another
    process reads the file first.

    Raises
    ------
    InputError
        It does not, or the file is no HDF5 file.
    """
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            raise InputError(f"{path}: file damaged or not what its name says (no HDF5 file)")
    if not sys.executable or getattr(sys, "frozen", False):
        return  # inside of another program there is no interpreter to start
    seconds = _SECONDS + path.stat().st_size // _BYTES_PER_SECOND
    # What ITK makes of a transform takes a few times its size.
    size = _BYTES + 4 * largest_content(path)
    command = [sys.executable, "-c", _CODE, str(seconds), str(size), str(path), *sys.path]
    try:
        # Waiting for disk or processor is no fault of the file, so this limit is a generous one,
        # for systems without the other.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_WAIT_PER_SECOND * seconds,
        )
    except subprocess.TimeoutExpired as err:
        raise InputError(f"{path}: file damaged, reading it does not end; export it again") from err
    if done.returncode:
        raise InputError(f"{path}: file damaged, ITK cannot read it; copy or export it again")
