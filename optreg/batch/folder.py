"""The folder of a batch: where fields, records and the zip are, and what of them is there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optreg import submission
from optreg.batch.records import Records, discard_leftovers
from optreg.batch.work import Job, done_before, is_as_asked, is_as_written
from optreg.config import RegistrationConfig
from optreg.errors import ConfigError, InputError, OutputError
from optreg.io.datasets import Dataset
from optreg.io.files import make_folder, write_atomic
from optreg.io.nifti import read_shape
from optreg.io.tables import json_text
from optreg.kernels import available_threads

__all__ = ["BatchFolder"]

_log = logging.getLogger("optreg")


@dataclass(frozen=True)
class BatchFolder:
    """Results of all pairs of a dataset.

    ``submission/`` has the fields, ``records/`` a JSON file a pair, ``config.toml`` the settings,
    ``summary.json`` what became of the pairs, ``submission.zip`` the fields once all are there.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @property
    def fields(self) -> Path:
        """Folder of the fields."""
        return self.path / "submission"

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
        make_folder(self.fields)
        make_folder(self.records)
        discard_leftovers(self.path, {"config.toml", "summary.json", self.zip.name})
        discard_leftovers(self.fields, {job.pair.file_name for job in jobs})
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


def _first_of(items: Sequence[str]) -> str:
    return items[0] + (f" and {len(items) - 1} more" if len(items) > 1 else "")
