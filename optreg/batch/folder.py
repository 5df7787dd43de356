"""The folder of a batch: where fields, records and the zip are, and what of them is there."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optreg import submission
from optreg.batch.records import Records, discard_leftovers, file_hash
from optreg.batch.work import Job, done_before
from optreg.config import RegistrationConfig
from optreg.errors import InputError
from optreg.io.datasets import Dataset, ImagePair
from optreg.io.files import make_folder, write_atomic
from optreg.io.nifti import read_shape
from optreg.io.tables import json_text
from optreg.kernels import available_threads

__all__ = ["BatchFolder"]


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
        OutputError
            It cannot be written.
        """
        make_folder(self.fields)
        make_folder(self.records)
        discard_leftovers(self.path, {"config.toml", "summary.json", self.zip.name})
        discard_leftovers(self.fields, {job.pair.file_name for job in jobs})
        discard_leftovers(self.records, {f"{job.pair.name}.json" for job in jobs})
        write_atomic(self.path / "config.toml", [config.to_toml().encode()], overwrite=True)
        # Reading and hashing wait for the disk, and let go of the interpreter.
        with ThreadPoolExecutor(available_threads()) as pool:
            done = list(pool.map(done_before, jobs))
        return [job for job, before in zip(jobs, done, strict=True) if not before]

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

    def pack(self, dataset: Dataset, fill_zero: bool = False) -> Path | None:
        """Write the zip and return it; None where fields are missing and not filled with zeros.

        Raises
        ------
        InputError
            A field that was not made here, or changed since, is none that the challenge takes.
        """
        names = [pair.file_name for pair in dataset.pairs]
        if fill_zero:
            submission.fill_with_zeros(dataset, self.fields)
        if not all((self.fields / name).is_file() for name in names):
            return None
        findings = [f for pair in dataset.pairs for f in self._findings(pair, dataset.shape)]
        if findings:
            more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
            raise InputError(f"{self.zip}: not written; {findings[0]}{more}")
        submission.pack(self.fields, names, self.zip, overwrite=True)
        return self.zip

    def _findings(self, pair: ImagePair, shape: tuple[int, int, int] | None) -> list[str]:
        """What is wrong with a field, unless it is as it was written."""
        field = self.fields / pair.file_name
        record = Records(self.records).read(pair.name)
        if record.get("status") == "done" and record.get("output_sha256") == file_hash(field):
            return []
        return submission.check_field(field, shape or read_shape(pair.fixed))
