"""NiftyReg, programs that the user has: ``--set niftyreg.binary=PATH/reg_f3d``.

Modat et al. 2010, doi 10.1016/j.cmpb.2009.09.002. ``reg_transform`` is expected beside
``reg_f3d``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import process
from conventions import mm_to_voxels
from program import fingerprint, run_program


def arguments(
    velocity: bool = False,
    spacing_vox: float | None = None,
    bending_weight: float | None = None,
    lncc_sigma_mm: float | None = None,
    iterations: int | None = None,
    options: str = "",
) -> list[str]:
    """Arguments of ``reg_f3d`` besides files and threads; see `run`."""
    words = ["-vel"] if velocity else []
    if spacing_vox is not None:
        words += ["-sx", f"{-spacing_vox:g}"]  # in voxels if negative, else in mm
    given = {"-be": bending_weight, "--lncc": lncc_sigma_mm, "-maxit": iterations}
    for flag, value in given.items():
        if value is not None:
            words += [flag, f"{value:g}"]
    return words + options.split()


def run(
    fixed_path: Path, moving_path: Path, *, threads: int = 2, binary: str, **settings
) -> process.Fields:
    """Displacement of one pair.

    Parameters
    ----------
    fixed_path, moving_path, threads
        See `process.Run`.
    binary : str
        The program ``reg_f3d``.
    **settings
        ``velocity``: its diffeomorphic model, a stationary velocity field; ``spacing_vox``: of the
        control points (5); ``bending_weight`` (0.001); ``lncc_sigma_mm``: local correlation in a
        Gaussian window instead of normalized mutual information; ``iterations``: at the finest
        resolution, at most (150); ``options``: more arguments, as text. In brackets what it does
        without them.
    """
    words = arguments(**settings)
    notes = {"sha256": fingerprint(binary), "options": " ".join(words)}
    transform = Path(binary).with_name("reg_transform")
    with tempfile.TemporaryDirectory() as folder:
        grid, warped, field = (Path(folder) / f"{name}.nii" for name in ("grid", "warped", "field"))
        images = ["-ref", fixed_path, "-flo", moving_path]
        outputs = ["-cpp", grid, "-res", warped]
        common = ["-omp", threads]
        run_program([binary, *images, *outputs, *common, "-voff", *words], threads)
        run_program([transform, "-ref", fixed_path, "-disp", grid, field, *common], threads)
        return process.Fields(read_displacement(field, fixed_path), notes=notes)


def read_displacement(path: Path, fixed_path: Path) -> np.ndarray:
    """Displacement in voxels from NiftyReg's displacement field.

    It is a NIfTI vector image ``(X, Y, Z, 1, 3)`` on the fixed grid, in mm of the RAS world that
    the sform of the fixed image leads to.

    Raises
    ------
    ValueError
        The file has another shape, or values that are not finite.
    """
    import nibabel as nib

    vectors = nib.load(path).get_fdata(dtype=np.float32)
    step = nib.load(fixed_path).affine[:3, :3]
    return mm_to_voxels(vectors[:, :, :, 0] if vectors.ndim == 5 else vectors, step)


if __name__ == "__main__":
    process.main(run, ())
