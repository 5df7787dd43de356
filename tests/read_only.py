"""Processes to which some folders cannot be written, whoever runs the tests."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest

__all__ = ["read_only"]

_MOUNTED = (
    'for f in {}; do mount --bind "$f" "$f" && mount -o remount,ro,bind "$f" || exit 99; done'
)


@contextmanager
def read_only(*folders):
    """Yield a function that runs a command which cannot write there, as `subprocess.run` does.

    Root may write to what has no write permission: it sees the folders mounted read-only instead.
    """
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root and not shutil.which("unshare"):
        pytest.skip("root may write, and no mount can be made")

    def run(command, **how):
        how = {"capture_output": True, "text": True, "check": False, **how}
        if not root:
            return subprocess.run(command, **how)
        mounts = _MOUNTED.format(" ".join(f"'{folder}'" for folder in folders))
        inside = ["unshare", "--mount", "sh", "-c", f'{mounts}\nexec "$@"', "sh", *command]
        done = subprocess.run(inside, **how)
        if done.returncode == 99 or "unshare:" in done.stderr:
            pytest.skip("root may write, and no mount can be made")
        return done

    modes = {}
    if not root:
        for folder in folders:
            for place, _, _ in os.walk(folder):
                modes[place] = os.stat(place).st_mode
                os.chmod(place, 0o555)
    try:
        yield run
    finally:
        for place, mode in modes.items():
            os.chmod(place, mode)
