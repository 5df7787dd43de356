"""The folder of a batch: where fields, records and the zip are, and what of them is there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg import submission
from optreg.affine import MODELS
from optreg.batch.records import Records, discard_leftovers
from optreg.batch.work import Job, done_before, is_as_asked, is_as_written
from optreg.config import RegistrationConfig
from optreg.errors import ConfigError, InputError, OutputError
from optreg.io.datasets import Dataset, ImagePair
from optreg.io.files import make_folder, write_atomic
from optreg.io.folder import discard_staged
from optreg.io.nifti import read_shape
from optreg.io.tables import json_text
from optreg.kernels import available_threads

if TYPE_CHECKING:
    from optreg.report.index import Entry

__all__ = ["BatchFolder"]

_log = logging.getLogger("optreg")


_LINKS = {
    "report.html": "report",
    "warped.nii.gz": "warped",
    "warped_labels.nii.gz": "labels",
    "disp.nii.gz": "field",
    "inverse.nii.gz": "inverse",
    "log_jacobian.nii.gz": "log Jacobian",
    "metrics.json": "numbers",
}
"""Files that the page of a batch leads to, and their words."""


@dataclass(frozen=True)
class BatchFolder:
    """Results of all pairs of a dataset.

    ``records/`` has a JSON file a pair, ``config.toml`` the settings, ``summary.json`` what became
    of the pairs. A submission has its fields in ``submission/``, and in ``submission.zip`` once all
    are there; other batches have a folder a pair in ``pairs/``, and ``index.html``.

    Attributes
    ----------
    path : Path
    outputs : tuple of str, optional
        What to write of each pair, see `Job`; a submission without it.
    """

    path: Path
    outputs: tuple[str, ...] | None = None

    @property
    def fields(self) -> Path:
        """Folder of the fields, or of the folders of the pairs."""
        return self.path / ("submission" if self.outputs is None else "pairs")

    @property
    def index(self) -> Path:
        """The page of all pairs."""
        return self.path / "index.html"

    @property
    def records(self) -> Path:
        """Folder of the records."""
        return self.path / "records"

    @property
    def zip(self) -> Path:
        """The submission."""
        return self.path / "submission.zip"

    def jobs(
        self,
        dataset: Dataset,
        config: RegistrationConfig,
        shard: tuple[int, int] | None = None,
        **settings: Any,
    ) -> list[Job]:
        """Jobs of a dataset, or of every n-th of its pairs from the k-th with the shard (k, n).

        `settings` are further attributes of `Job`.
        """
        first, step = shard or (1, 1)
        places = self.fields.resolve(), self.records.resolve()
        settings["outputs"] = self.outputs
        return [Job(pair, *places, config, **settings) for pair in dataset.pairs[first - 1 :: step]]

    def prepare(self, jobs: Sequence[Job], config: RegistrationConfig) -> list[Job]:
        """Make the folder ready and return the jobs that are left to do.

        Raises
        ------
        ConfigError
            The fields to start from are where the results would be.
        OutputError
            It cannot be written.
        """
        for start in {job.init for job in jobs if job.init}:
            if start.resolve() in (self.fields.resolve(), self.zip.resolve()):
                raise ConfigError(f"{start}: would be overwritten; choose another output folder")
        words = {word for job in jobs if isinstance(word := job.pair.init, str)}
        for word in words - {"auto", "none", *MODELS}:
            known = ", ".join(("auto", "none", *MODELS))
            raise ConfigError(f"init '{word}' is no file, and none of {known}")
        make_folder(self.fields)
        make_folder(self.records)
        names = {"config.toml", "summary.json", self.zip.name, self.index.name}
        discard_leftovers(self.path, names)
        if self.outputs is None:
            discard_leftovers(self.fields, {job.pair.file_name for job in jobs})
        else:
            for job in jobs:
                discard_staged(job.folder)
        discard_leftovers(self.records, {f"{job.pair.name}.json" for job in jobs})
        write_atomic(self.path / "config.toml", [config.to_toml().encode()], overwrite=True)
        # Reading and hashing wait for the disk, and let go of the interpreter.
        with ThreadPoolExecutor(available_threads()) as pool:
            done = list(pool.map(done_before, jobs))
        left = [job for job, before in zip(jobs, done, strict=True) if not before]
        if left:
            self._discard_zip()
        return left

    def _discard_zip(self) -> None:
        """Remove the zip of an earlier run, which would stay where this one does not end well."""
        try:
            self.zip.unlink(missing_ok=True)
        except OSError as error:
            why = f"cannot be removed ({error.strerror}); change its access rights"
            raise OutputError(f"{self.zip}: {why}") from error

    def summarize(
        self,
        jobs: Sequence[Job],
        left: Sequence[Job],
        failed: Sequence[dict[str, Any]],
        shard: tuple[int, int] | None = None,
    ) -> dict[str, Any]:
        """Write and return what became of the jobs."""
        kept = Records(self.records)
        done = [r for r in (kept.read(job.pair.name) for job in jobs) if r.get("status") == "done"]
        summary = {
            "pairs": len(jobs),
            "done": len(done),
            "done_before": len(jobs) - len(left),
            "failed": {record["name"]: record["error"] for record in failed},
            "missing": {r["name"]: r["missing"] for r in done if r.get("missing")},
            "seconds": sum(record["seconds"] for record in done),
            "folded_voxels": sum(record["quality"]["folded_voxels"] for record in done),
        }
        name = "summary-{}-of-{}.json".format(*shard) if shard else "summary.json"
        write_atomic(self.path / name, [json_text(summary).encode()], overwrite=True)
        return summary

    def pack(self, dataset: Dataset, jobs: Sequence[Job], fill_zero: bool = False) -> Path | None:
        """Write the zip and return it; None where fields are missing and not filled with zeros, or
        are left of a run with other settings.

        Parameters
        ----------
        dataset : Dataset
            Says which pairs there are and, if it does, of which shape their fields must be.
        jobs : sequence of Job
            Of all pairs, those that other machines do among them.
        fill_zero : bool
            Whether pairs that have no field get one of zeros.

        Raises
        ------
        InputError
            A field that was not made here, or changed since, is none that the challenge takes.
        """
        if fill_zero:
            submission.fill_with_zeros(dataset, self.fields)
        if not all(job.output.is_file() for job in jobs):
            return None
        findings, others = [], []
        for job in jobs:
            record = Records(self.records).read(job.pair.name)
            if not is_as_written(job, record):
                shape = dataset.shape or read_shape(job.pair.fixed)
                findings += submission.check_field(job.output, shape)
            elif not is_as_asked(job, record):
                others.append(job.pair.name)
        if findings:
            raise InputError(f"{self.zip}: not written; {_first_of(findings)}")
        if others:
            why = "made with other settings or from other files; do all pairs again"
            _log.warning("%s: not written; %s: %s", self.zip, _first_of(others), why)
            return None
        submission.pack(self.fields, [job.output.name for job in jobs], self.zip, overwrite=True)
        return self.zip

    def write_index(self, dataset: Dataset) -> Path:
        """Write the page of all pairs, those that other machines do among them; its path."""
        from optreg.report.index import page

        kept = Records(self.records)
        entries = [self._entry(pair, kept.read(pair.name)) for pair in dataset.pairs]
        write_atomic(self.index, [page(entries, dataset.name).encode()], overwrite=True)
        return self.index

    def _entry(self, pair: ImagePair, record: Mapping[str, Any]) -> Entry:
        """What the page says of a pair."""
        from optreg.report.index import Entry

        status = record.get("status")
        if status == "failed":
            return Entry(pair.name, "failed", pair.group, headline=str(record.get("error", "")))
        if status != "done":
            return Entry(pair.name, "waiting", pair.group)
        place = f"{self.fields.name}/{pair.name}"
        there = ["disp.nii.gz", *record.get("files_sha256", {})]
        verdict, missing = record.get("verdict") or {}, record.get("missing")
        sentences = [verdict.get("headline", ""), *verdict.get("reasons", [])]
        if missing:
            sentences.append(f"Missing: {', '.join(missing)}.")
        return Entry(
            pair.name,
            verdict.get("level", "attention"),
            pair.group,
            verdict.get("badness"),
            " ".join(filter(None, sentences)),
            {**record.get("numbers", {}), "seconds": record.get("seconds")},
            {words: f"{place}/{name}" for name, words in _LINKS.items() if name in there},
            f"{place}/thumbnail.jpg" if "thumbnail.jpg" in there else None,
        )


def _first_of(items: Sequence[str]) -> str:
    return items[0] + (f" and {len(items) - 1} more" if len(items) > 1 else "")
