"""Registering one pair of a batch: read, register, write, check what was written, keep a record."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import optreg
from optreg.batch.outputs import said_of, write_all
from optreg.batch.records import Records, file_hash
from optreg.config import RegistrationConfig
from optreg.errors import InputError, OptregError, OutputError
from optreg.image import Image
from optreg.io import load_image, read_field, write_field
from optreg.io.datasets import ImagePair
from optreg.io.folder import discard_result
from optreg.io.labels import load_labels
from optreg.io.nifti import read_nifti
from optreg.metrics.folding import count_folds
from optreg.submission import field_file
from optreg.transform import DisplacementField

if TYPE_CHECKING:
    from optreg.result import Registration

__all__ = ["Job", "Task", "done_before", "is_as_asked", "is_as_written", "register_pair"]


_log = logging.getLogger("optreg")


@dataclass(frozen=True)
class Job:
    """What has to be known to register one pair, in any process on any machine.

    Attributes
    ----------
    pair : ImagePair
    fields : Path
        Folder for the field.
    records : Path
        Folder for the record.
    config : RegistrationConfig
    init : Path, optional
        Folder or zip of a submission whose fields to start from.
    device : str
        See `optreg.register`.
    threads : int, optional
        CPU threads; all by default. Results do not depend on it.
    outputs : tuple of str, optional
        What to write into a folder for each pair, of `optreg.report.outcome.OUTPUTS`. Without it,
        only the field, as the file of a submission.
    """

    pair: ImagePair
    fields: Path
    records: Path
    config: RegistrationConfig
    init: Path | None = None
    device: str = "auto"
    threads: int | None = None
    outputs: tuple[str, ...] | None = None

    @property
    def folder(self) -> Path:
        """Where the results of the pair are."""
        return self.fields if self.outputs is None else self.fields / self.pair.name

    @property
    def output(self) -> Path:
        """The field's file."""
        return self.folder / (self.pair.file_name if self.outputs is None else "disp.nii.gz")

    @contextmanager
    def start(self) -> Iterator[Path | None]:
        """File of the field to start from; of a zip, unpacked for as long as it is used."""
        if self.init is None:
            yield None
            return
        with field_file(self.init, self.pair.file_name) as path:
            yield path

    def discard_output(self) -> None:
        """Remove a field of an earlier run, so that it does not pass for that of this one."""
        if self.outputs is not None:
            discard_result(self.folder)
        elif self.init != self.fields:
            with suppress(OSError):
                self.output.unlink()


def _asked(job: Job) -> dict[str, Any]:
    """What a record must say for its results to be those that are wanted."""
    with job.start() as start:
        files = {**job.pair.files, "init": start or job.pair.files.get("init")}
        hashes = {role: file_hash(path) for role, path in files.items() if path is not None}
    asked = {"optreg": optreg.__version__, "config": job.config.to_dict(), "inputs": hashes}
    if isinstance(job.pair.init, str):
        asked["init"] = job.pair.init
    if job.outputs is not None:
        asked |= {"outputs": sorted(job.outputs), "missing": []}
    return asked


def is_as_written(job: Job, record: Mapping[str, Any]) -> bool:
    """Whether the results are there, and those that the record tells of."""
    if record.get("status") != "done" or not job.output.is_file():
        return False
    others = record.get("files_sha256", {})
    try:
        return record.get("output_sha256") == file_hash(job.output) and all(
            file_hash(job.folder / name) == known for name, known in others.items()
        )
    except (OSError, AttributeError):
        return False


def is_as_asked(job: Job, record: Mapping[str, Any]) -> bool:
    """Whether the record tells of the same files and the same settings."""
    try:
        # As JSON has it: tuples are lists there.
        asked = json.loads(json.dumps(_asked(job)))
    except (OSError, InputError):
        return False
    return all(record.get(key) == value for key, value in asked.items())


def done_before(job: Job) -> bool:
    """Whether the field is there, whole, and made from the same files with the same settings."""
    record = Records(job.records).read(job.pair.name)
    return is_as_written(job, record) and is_as_asked(job, record)


def register_pair(job: Job) -> dict[str, Any]:
    """Register a pair and write field and record.

    Returns
    -------
    dict
        The record. ``status`` is "done" or "failed", then with ``error``: whatever goes wrong with
        one pair is kept there and raised to nobody, so that it does not stop the others.
    """
    task = Task(job)
    task.read()
    task.register()
    return task.write()


class Task:
    """A pair on its way through the three steps, which may be done in different threads.

    Only `register` runs kernels, so that one pair may be read and another one written meanwhile.
    A step after one that failed does nothing.
    """

    def __init__(self, job: Job):
        self._job, self._start = job, time.time()
        self._images: tuple[Image, Image] | None = None
        self._labels: tuple[Image | None, Image | None] = None, None
        self._result: Registration | None = None
        self._record: dict[str, Any] = {
            "name": job.pair.name,
            "status": "running",
            "fixed": str(job.pair.fixed),
            "moving": str(job.pair.moving),
            "host": platform.node(),
            "process": os.getpid(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._start)),
        }

    def read(self) -> None:
        """Read the images and say that the pair is being worked on."""
        self._job.discard_output()
        with self._step():
            Records(self._job.records).write(self._job.pair.name, self._record)
            self._record |= _asked(self._job)
            pair = self._job.pair
            self._images = load_image(pair.fixed), load_image(pair.moving)
            if self._job.outputs is not None and pair.fixed_labels and pair.moving_labels:
                self._labels = load_labels(pair.fixed_labels), load_labels(pair.moving_labels)

    def register(self) -> None:
        """Register them, and make sure that the result has no fold."""
        from optreg.registration import register

        if self._images is None:
            return
        job, start = self._job, time.time()
        with self._step(), job.start() as path:
            result = register(
                *self._images,
                config=job.config,
                init=job.pair.init or "auto" if path is None else self._read_start(path),
                refine=path is not None,
                fixed_mask=job.pair.fixed_mask,
                moving_mask=job.pair.moving_mask,
                weights=job.pair.weights,
                device=job.device,
                threads=job.threads,
            )
            if count_folds(result.disp).folded_tetrahedra:
                raise InputError(f"{job.output}: the field folds; report this pair")
            self._result, self._images = result, None
        self._record["seconds"] = time.time() - start
        if self._result is not None and job.outputs is not None:
            # Here and not in `write`: what is measured and drawn takes kernels, too.
            with self._step():
                self._record |= write_all(job.folder, self._result, self._labels, job.outputs)
                self._record["status"] = "done"
            self._result = None

    def _read_start(self, path: Path) -> DisplacementField:
        """Field to start from: of a submission, so from voxels to voxels where it says nothing."""
        assert self._images is not None
        fixed, moving = (image.grid for image in self._images)
        return read_field(path, fixed, moving, format="l2r")

    def write(self) -> dict[str, Any]:
        """Write the field, read it back, and keep the record, which is returned."""
        if self._result is not None:
            with self._step():
                written = _written(self._job.output, self._result)
                self._record |= {**said_of(self._result), "output_sha256": written}
                self._record["status"] = "done"
        if self._record["status"] != "done":
            self._job.discard_output()
        self._record.setdefault("seconds", time.time() - self._start)
        try:
            Records(self._job.records).write(self._job.pair.name, self._record)
        except OutputError as error:
            self._record |= {"status": "failed", "error": str(error)}
        return self._record

    @contextmanager
    def _step(self) -> Iterator[None]:
        try:
            yield
        except (OptregError, OSError, MemoryError) as error:
            what = " ".join(str(error).split()) or "out of memory"
            self._record |= {"status": "failed", "error": what}
        except Exception as error:  # a bug: say so, and go on with the other pairs
            what = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
            self._record |= {"status": "failed", "error": what}


def _written(path: Path, result: Registration) -> str:
    """Write the field of a result, and read it back; the hash of the file."""
    disp = result.transform.voxels_of(result.moving.grid)
    if not result.moving.grid.same_as(result.fixed.grid):
        _log.warning("%s: images are on two grids; the field is from voxels to voxels", path.name)
    write_field(path, result.transform, None, overwrite=True)
    if not np.array_equal(np.moveaxis(read_nifti(path).array, -1, 0), disp):
        raise OutputError(f"{path}: does not read back as it was written; check the disk")
    return file_hash(path)
