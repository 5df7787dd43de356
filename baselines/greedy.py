"""greedy (picsl-greedy from PyPI), by its command line and nothing else.

Runs in an environment of its own: ``python baselines/setup_env.py greedy``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import process
from conventions import sitk_to_voxels

# "stock" is the example of greedy's manual with its default smoothing; "tuned" is the best of a
# search on one pair of the development set. Both correlations expect one contrast; "nmi" is what
# the manual offers for two, with the smoothing of its example.
VARIANTS = {
    "stock": {"metric": "NCC 2x2x2", "iterations": "100x100x50", "smoothing": "1.732vox 0.7071vox"},
    "tuned": {"metric": "WNCC 2x2x2", "iterations": "100x100x40", "smoothing": "1.5vox 0.5vox"},
    "nmi": {"metric": "NMI", "iterations": "100x100x50", "smoothing": "1.732vox 0.7071vox"},
}


def command(
    variant: str,
    threads: int,
    smoothing: str | None = None,
    iterations: str | None = None,
    metric: str | None = None,
) -> str:
    """Arguments of greedy without the files.

    ``-wp 0`` stores the field in full precision. By default greedy rounds it to 0.1 voxel, which
    would count against its smoothness and its folding.
    """
    chosen = dict(VARIANTS[variant])
    given = {"smoothing": smoothing, "iterations": iterations, "metric": metric}
    chosen.update({key: value for key, value in given.items() if value is not None})
    return (
        f"-d 3 -m {chosen['metric']} -n {chosen['iterations']} -s {chosen['smoothing']} "
        f"-threads {threads} -wp 0"
    )


def prepare(**settings) -> None:
    """Load the libraries; that time is not the method's."""
    import picsl_greedy  # noqa: F401
    import SimpleITK  # noqa: F401


def run(
    fixed_path: Path, moving_path: Path, *, threads: int = 2, variant: str = "tuned", **overrides
) -> process.Fields:
    """Displacement of one pair.

    Parameters
    ----------
    fixed_path, moving_path, threads
        See `process.Run`.
    variant : {"stock", "tuned", "nmi"}
        Which of the settings above.
    **overrides : str
        ``smoothing`` (as after ``-s``), ``iterations`` (``-n``), ``metric`` (``-m``).
    """
    import SimpleITK as sitk
    from picsl_greedy import Greedy3D

    arguments = command(variant, threads, **overrides)
    with tempfile.TemporaryDirectory() as folder:
        warp = Path(folder) / "warp.nii"  # not compressed: that time is not the method's
        Greedy3D().execute(f"{arguments} -i {fixed_path} {moving_path} -o {warp}")
        field = sitk.ReadImage(str(warp))
    return process.Fields(sitk_to_voxels(field), notes={"command": arguments})


if __name__ == "__main__":
    process.main(run, ("picsl_greedy",), prepare)
