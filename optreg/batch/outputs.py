"""All results of one pair of a batch: what ``optreg register`` writes, into a folder of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg.batch.records import file_hash
from optreg.io.folder import staged_folder
from optreg.report.outcome import Attempts, Outcome, judge, write_fields, write_outcome

if TYPE_CHECKING:
    from optreg.image import Image
    from optreg.result import Registration

__all__ = ["numbers_of", "said_of", "write_all"]

_NUMBERS = {
    "dice_without_background": ("dice", "mean_without_background"),
    "hd95": ("hd95", "mean_without_background_mm"),
    "ndv": ("folding", "ndv_percent"),
    "folded_voxels": ("folding", "folded_voxels"),
    "sdlogj": ("smoothness", "sdlogj"),
}
"""Numbers of an index by their names in `optreg.metrics.METRICS`, and where `evaluate` has them."""


def said_of(result: Registration) -> dict[str, Any]:
    """What the record of a pair says of its registration."""
    return {
        "message": result.status.value,
        "similarity": result.similarity,
        "device": result.device,
        "timings_s": result.timings,
        "quality": result.quality,
    }


def write_all(
    folder: Path,
    result: Registration,
    labels: tuple[Image | None, Image | None],
    outputs: Collection[str],
) -> dict[str, Any]:
    """Write the results of a pair, measure it, and draw it.

    Parameters
    ----------
    folder : Path
        What an earlier run left there is replaced.
    result : Registration
    labels : two Images or two None
        Label maps of the fixed and of the moving image.
    outputs : collection of str
        Of `optreg.report.outcome.OUTPUTS`.

    Returns
    -------
    dict
        For the record: ``missing`` names what could not be made.

    Raises
    ------
    OutputError
        The field cannot be written.
    """
    attempts = Attempts()
    with staged_folder(folder, True) as place:
        write_fields(place, result, outputs)
    outcome = judge(result, *labels, attempts)
    with staged_folder(folder, True, more=True) as place:
        write_outcome(place, outcome, outputs, attempts)
        if outcome.views is not None:
            with attempts("thumbnail.jpg"):
                from optreg.report.thumbnail import thumbnail

                (place / "thumbnail.jpg").write_bytes(thumbnail(outcome.views))
    hashes = {file.name: file_hash(file) for file in sorted(folder.iterdir()) if file.is_file()}
    return {
        **said_of(result),
        "numbers": numbers_of(outcome),
        "verdict": outcome.verdict and outcome.verdict.numbers,
        "missing": attempts.failed,
        "output_sha256": hashes.pop("disp.nii.gz"),
        "files_sha256": hashes,
    }


def numbers_of(outcome: Outcome) -> dict[str, float]:
    """Numbers that an index shows, those without registration as ``..._before``."""
    found = {}
    for name, (group, key) in _NUMBERS.items():
        sources: tuple[tuple[str, Mapping[str, Any]], ...] = (
            ("", outcome.metrics),
            ("_before", outcome.before if group in ("dice", "hd95") else {}),
        )
        for suffix, metrics in sources:
            if (value := metrics.get(group, {}).get(key)) is not None:
                found[name + suffix] = float(value)
    return found
