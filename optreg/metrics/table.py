"""The numbers that methods are judged and compared by: their names, and which way is better."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["METRICS", "Metric"]


class Metric(NamedTuple):
    """How a number of a case is shown, and whether more of it is better."""

    title: str
    digits: int
    higher_is_better: bool = False

    def text(self, value: float) -> str:
        """A value with the decimals of the metric."""
        return f"{value:.{self.digits}f}"


METRICS = {
    "dice": Metric("Dice", 4, higher_is_better=True),
    "dice_without_background": Metric("Dice, no background", 4, higher_is_better=True),
    "hd95": Metric("HD95, mm", 3),
    "tre": Metric("TRE, mm", 3),
    "tre_points": Metric("TRE (points), mm", 3),
    "similarity": Metric("similarity", 4, higher_is_better=True),
    "ndv": Metric("NDV, %", 5),
    "folded_voxels": Metric("folded voxels", 1),
    "sdlogj": Metric("SDlogJ", 4),
    "sdlogj_evaluator": Metric("SDlogJ (evaluator)", 4),
    "inverse_consistency": Metric("inverse error, voxels", 3),
    "seconds": Metric("time, s", 1),
}
"""By name. ``tre`` is by label maps, as the challenge has it, ``tre_points`` point by point;
``similarity`` is `local_correlation` of the images, for pairs without labels;
``sdlogj_evaluator`` is roughness as the challenge's evaluator computes it;
``inverse_consistency`` is the mean distance by which a field and its inverse miss the start."""
