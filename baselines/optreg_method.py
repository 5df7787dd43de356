"""optreg itself, through the same door as the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import process


def configuration(preset: str, changes: dict[str, Any] | None) -> Any:
    """Preset with some parameters changed: nested dicts as in its TOML file."""
    from optreg import RegistrationConfig

    return RegistrationConfig.from_dict({"preset": preset, **(changes or {})})


def prepare(
    *, threads: int = 2, preset: str = "default", changes: dict[str, Any] | None = None
) -> None:
    """Compile the kernels, or load them from the cache."""
    from optreg import warm_up

    warm_up(configuration(preset, changes), device="cpu", threads=threads)


def run(
    fixed_path: Path,
    moving_path: Path,
    *,
    threads: int = 2,
    preset: str = "default",
    changes: dict[str, Any] | None = None,
) -> process.Fields:
    """Displacement and inverse of one pair.

    Parameters
    ----------
    fixed_path, moving_path : path
        Images in one world.
    threads : int
        CPU threads.
    preset : str
        "fast", "default" or "accurate".
    changes : dict, optional
        Parameters that differ from the preset.
    """
    from optreg import register

    config = configuration(preset, changes)
    result = register(fixed_path, moving_path, config=config, threads=threads, device="cpu")
    notes = {
        "status": result.status.name.lower(),
        "similarity": result.similarity,
        "timings_s": result.timings,
        "quality": result.quality,
    }
    return process.Fields(result.disp, result.inverse, notes)


if __name__ == "__main__":
    process.main(run, ("optreg", "numba", "numpy"), prepare)
