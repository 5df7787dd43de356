"""deedsBCV, a program that the user has built: ``--set deeds.binary=PATH``.

Heinrich et al. 2013, doi 10.1109/TMI.2013.2246577.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import process
from program import fingerprint, run_program


def run(
    fixed_path: Path, moving_path: Path, *, threads: int = 2, binary: str, options: str = ""
) -> process.Fields:
    """Displacement of one pair.

    Parameters
    ----------
    fixed_path, moving_path : path
        Images ``.nii.gz`` on one grid, affinely aligned (deeds runs without its linear step).
    threads : int
        Passed on as OMP_NUM_THREADS.
    binary : str
        The program ``deedsBCV``.
    options : str
        More of its arguments, such as ``-a 1.6 -G 8x7x6x5x4``; without: its defaults.
    """
    import nibabel as nib

    notes = {"sha256": fingerprint(binary), "options": options}
    with tempfile.TemporaryDirectory() as folder:
        stem = Path(folder) / "out"
        command = [binary, "-F", fixed_path, "-M", moving_path, "-O", stem, *options.split()]
        run_program(command, threads)
        values = np.fromfile(process.beside(stem, "_displacements.dat"), np.float32)
    return process.Fields(to_voxels(values, nib.load(fixed_path).shape[:3]), notes=notes)


def to_voxels(values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The field of every voxel from deeds' file of its control points.

    The file holds three blocks of float32, one value per control point, first array axis fastest:
    displacements in voxels along the second, the first and the third axis. There are
    ``n // spacing`` control points along an axis of n voxels, and voxel i lies at control point
    ``i * (n // spacing) / n``; between them deeds interpolates linearly, beyond the last one the
    field goes on level.

    Parameters
    ----------
    values : ndarray of float32
        Content of ``*_displacements.dat``.
    shape : tuple of 3 int
        Of the fixed image.

    Raises
    ------
    ValueError
        That many values belong to no spacing of control points.
    """
    from scipy import ndimage

    points = values.size // 3
    spacing = round((np.prod(shape) / points) ** (1 / 3)) if points else 0
    grid = tuple(n // spacing for n in shape) if spacing else (0, 0, 0)
    if not points or 3 * np.prod(grid) != values.size:
        raise ValueError(f"{values.size} values are no field of deeds for {shape} voxels")
    second, first, third = (
        block.reshape(grid, order="F") for block in np.split(values.astype(np.float32), 3)
    )
    axes = [np.arange(n) * (m / n) for n, m in zip(shape, grid, strict=True)]
    positions = np.meshgrid(*axes, indexing="ij")
    return np.stack(
        [
            ndimage.map_coordinates(block, positions, order=1, mode="nearest")
            for block in (first, second, third)
        ]
    )


if __name__ == "__main__":
    process.main(run, ())
