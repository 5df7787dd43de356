"""FireANTs (fireants from PyPI), on a GPU if PyTorch finds one, else on the CPU.

Jena et al. 2024, arXiv 2404.01249. Runs in an environment of its own:
``python baselines/setup_env.py fireants``. The file is not called ``fireants.py`` because it would
hide the library.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import process
from conventions import sitk_to_voxels

_SCALES = (4, 2, 1)


def prepare(**settings) -> None:
    """Load the libraries; that time is not the method's."""
    import fireants.registration.greedy
    import fireants.registration.syn  # noqa: F401


def run(
    fixed_path: Path,
    moving_path: Path,
    *,
    threads: int = 2,
    variant: str = "greedy",
    iterations: Sequence[int] = (200, 100, 50),
    **overrides,
) -> process.Fields:
    """Displacement of one pair.

    Parameters
    ----------
    fixed_path, moving_path, threads
        See `process.Run`.
    variant : {"greedy", "syn"}
        The library's ``GreedyRegistration`` or ``SyNRegistration``; both with its default
        arguments: local correlation, Adam, compositive update.
    iterations : sequence of 3 int
        At a quarter, half and full resolution, at most.
    **overrides
        Arguments of the class.
    """
    import SimpleITK as sitk
    import torch
    from fireants.io.image import BatchedImages, Image
    from fireants.registration.greedy import GreedyRegistration
    from fireants.registration.syn import SyNRegistration

    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = {"greedy": GreedyRegistration, "syn": SyNRegistration}[variant]
    images = [
        BatchedImages([Image.load_file(str(path), device=device)])
        for path in (fixed_path, moving_path)
    ]
    method = kind(list(_SCALES), list(iterations), *images, progress_bar=False, **overrides)
    method.optimize()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "warp.nii")
        method.save_as_ants_transforms(path)
        field = sitk.ReadImage(path)
    return process.Fields(sitk_to_voxels(field), notes={"device": device, **overrides})


if __name__ == "__main__":
    process.main(run, ("fireants", "torch"), prepare)
