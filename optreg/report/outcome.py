"""What a registration leaves behind: files in a folder, and how good it is.

The fields come first. All else can be made again from them, so whatever fails there is said and
stops nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg.image import Image
from optreg.views import Views

if TYPE_CHECKING:
    from optreg.report.verdict import Verdict
    from optreg.result import Registration

__all__ = ["OUTPUTS", "Attempts", "Outcome", "judge", "write_fields", "write_outcome"]

_log = logging.getLogger("optreg")

OUTPUTS = {
    "inverse": "field from the moving to the fixed image",
    "warped": "moving image on the fixed one",
    "labels": "warped label map, where there is one",
    "jacobian": "logarithm of the local change of volume",
    "itk": "fields for ITK, ANTs and SimpleITK",
    "report": "report and overview picture",
}
"""What may be written besides the field, the settings and the numbers."""


class Attempts:
    """Steps that a result can do without.

    Attributes
    ----------
    failed : list of str
        What is missing, in the order in which it failed.
    """

    def __init__(self) -> None:
        self.failed: list[str] = []

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Let a step fail: say what is missing then, and go on."""
        try:
            yield
        except Exception as error:
            self.failed.append(what)
            why = " ".join(str(error).split()) or "no reason given"
            _log.warning(
                "%s is missing: %s: %s (the rest is complete)",
                what,
                type(error).__name__,
                why,
                exc_info=_log.isEnabledFor(logging.DEBUG),
            )


@dataclass(frozen=True, eq=False)
class Outcome:
    """A registration and how good it is.

    Attributes
    ----------
    result : Registration
    metrics, before : dict of dict
        What `optreg.evaluate` says of it, and of no registration at all; empty where it failed.
    views : Views or None
        What pictures are made of; None where none can be made.
    verdict : Verdict or None
        What to think of it; None where that failed.
    fixed_labels, warped_labels : Image or None
        On the fixed grid.
    """

    result: Registration
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    views: Views | None = None
    verdict: Verdict | None = None
    fixed_labels: Image | None = None
    warped_labels: Image | None = None


def judge(
    result: Registration,
    fixed_labels: Image | None = None,
    moving_labels: Image | None = None,
    attempts: Attempts | None = None,
) -> Outcome:
    """Measure a registration, with labels where they are given."""
    from optreg.io.labels import onto_grid
    from optreg.metrics import evaluate
    from optreg.report.verdict import judge_result
    from optreg.transform import DisplacementField
    from optreg.views import collect, foreground

    attempts, grid = attempts or Attempts(), result.fixed.grid
    metrics: dict[str, dict[str, Any]] = {}
    before: dict[str, dict[str, Any]] = {}
    views = warped = verdict = None
    if fixed_labels is not None and moving_labels is not None:
        with attempts("the warped label map"):
            fixed_labels = onto_grid(fixed_labels, grid, "the fixed image")
            warped = result.transform.apply(moving_labels, "nearest")
    with attempts("the table of metrics"):
        given: dict[str, Any] = {"fixed_mask": foreground(result.fixed.data)}
        if warped is not None:
            given |= {"fixed_labels": fixed_labels, "moving_labels": moving_labels}
            before |= evaluate(DisplacementField.identity(grid, result.moving.grid), **given)
        metrics |= evaluate(result, inverse=result.inverse, **given)
    with attempts("what pictures are made of"):
        views = collect(result, fixed_labels if warped else None, warped)
    with attempts("the verdict"):
        difference = None if views is None else views.mean_difference
        verdict = judge_result(result, difference, metrics, before)
    return Outcome(result, metrics, before, views, verdict, fixed_labels, warped)


def write_fields(folder: Path, result: Registration, outputs: Collection[str]) -> None:
    """Write what nothing else can replace: fields, warped image, settings, summary.

    Parameters
    ----------
    folder : Path
    result : Registration
    outputs : collection of str
        Of `OUTPUTS`.
    """
    result.save(folder, overwrite=True, outputs=outputs)


def write_outcome(
    folder: Path,
    outcome: Outcome,
    outputs: Collection[str],
    attempts: Attempts,
    *,
    title: str | None = None,
    progress: Callable[[str, float], None] = lambda stage, fraction: None,
) -> None:
    """Write the rest: numbers, further maps and formats, pictures, report.

    Parameters
    ----------
    folder : Path
        Existing and without such files.
    outcome : Outcome
    outputs : collection of str
        Of `OUTPUTS`.
    attempts : Attempts
        Is told what fails.
    title : str, optional
        Of pictures and report.
    progress : callable, optional
        Called with "writing" and how much of it is done.
    """
    from optreg.io import save_image, write_field
    from optreg.io.files import write_atomic
    from optreg.io.tables import json_text

    result, grid = outcome.result, outcome.result.fixed.grid
    if outcome.metrics:
        with attempts("metrics.json"):
            said = {} if outcome.verdict is None else {"verdict": outcome.verdict.numbers}
            text = json_text({**outcome.metrics, **said})
            write_atomic(folder / "metrics.json", [text.encode()], True)
    if "itk" in outputs:
        for name, transform in (
            ("disp_itk", result.transform),
            ("inverse_itk", result.inverse_transform),
        ):
            with attempts(f"{name}.nii.gz"):
                write_field(folder / f"{name}.nii.gz", transform, None, format="itk")
    if "labels" in outputs and outcome.warped_labels is not None:
        with attempts("warped_labels.nii.gz"):
            save_image(folder / "warped_labels.nii.gz", outcome.warped_labels.data, grid)
    if "jacobian" in outputs:
        from optreg.metrics.folding import log_determinant

        with attempts("log_jacobian.nii.gz"):
            logarithm = log_determinant(result.transform.jacobian())
            save_image(folder / "log_jacobian.nii.gz", logarithm, grid)
    progress("writing", 0.5)
    if "report" in outputs and outcome.views is not None:
        _write_pictures(folder, outcome, attempts, title, progress)
    progress("writing", 1.0)


def _write_pictures(
    folder: Path,
    outcome: Outcome,
    attempts: Attempts,
    title: str | None,
    progress: Callable[[str, float], None],
) -> None:
    from optreg.plot import save_overview
    from optreg.report import write_report

    with attempts("overview.png"):
        path = folder / "overview.png"
        save_overview(path, outcome.result, title=title, views=outcome.views)
    progress("writing", 0.75)
    with attempts("report.html"):
        write_report(
            folder / "report.html",
            outcome.result,
            metrics=outcome.metrics,
            metrics_before=outcome.before,
            title=title,
            views=outcome.views,
            verdict=outcome.verdict,
        )
