"""ConvexAdam with MIND features (convexAdam from PyPI), on the CPU or on a GPU that PyTorch finds.

Siebert et al. 2024, doi 10.1109/TMI.2024.3462248. Runs in an environment of its own:
``python baselines/setup_env.py convexadam``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import process

# "default" is what the library does without arguments; "tuned" is the setting that its authors
# gave for the brain images of LUMIR 2025.
VARIANTS = {
    "default": {},
    "tuned": {
        "mind_r": 1,
        "mind_d": 2,
        "lambda_weight": 1.6,
        "grid_sp": 2,
        "disp_hw": 2,
        "selected_niter": 80,
        "grid_sp_adam": 2,
        "ic": True,
    },
}


def prepare(**settings) -> None:
    """Load the libraries; that time is not the method's."""
    import convexAdam.convex_adam_MIND  # noqa: F401


def run(
    fixed_path: Path, moving_path: Path, *, threads: int = 2, variant: str = "default", **overrides
) -> process.Fields:
    """Displacement of one pair.

    Parameters
    ----------
    fixed_path, moving_path : path
        NIfTI images on one grid, affinely aligned.
    threads : int
        CPU threads.
    variant : {"default", "tuned"}
        Which of the settings above.
    **overrides
        Arguments of ``convex_adam_pt`` instead of those.
    """
    import nibabel as nib
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    torch.set_num_threads(threads)
    images = [
        torch.from_numpy(nib.load(path).get_fdata(dtype=np.float32))
        for path in (fixed_path, moving_path)
    ]
    chosen = {**VARIANTS[variant], **overrides}
    # Half precision, its default, is for GPUs; on a CPU the library goes to single precision too.
    vectors = convex_adam_pt(*images, dtype=torch.float32, **chosen)
    disp = np.ascontiguousarray(np.moveaxis(vectors, -1, 0), np.float32)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return process.Fields(disp, notes={"arguments": chosen, "device": device})


if __name__ == "__main__":
    process.main(run, ("convexAdam", "torch"), prepare)
