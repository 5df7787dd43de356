"""Registering one pair of a batch: read, register, write, check what was written, keep a record."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import optreg
from optreg.batch.records import Records, file_hash
from optreg.config import RegistrationConfig
from optreg.errors import InputError, OptregError, OutputError
from optreg.io import load_image, read_field, write_field
from optreg.io.datasets import ImagePair
from optreg.metrics.folding import count_folds
from optreg.submission import field_file

__all__ = ["Job", "done_before", "register_pair"]


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
    """

    pair: ImagePair
    fields: Path
    records: Path
    config: RegistrationConfig
    init: Path | None = None
    device: str = "auto"
    threads: int | None = None

    @property
    def output(self) -> Path:
        """The field's file."""
        return self.fields / self.pair.file_name

    @contextmanager
    def start(self) -> Iterator[Path | None]:
        """File of the field to start from; of a zip, unpacked for as long as it is used."""
        if self.init is None:
            yield None
            return
        with field_file(self.init, self.pair.file_name) as path:
            yield path


def _asked(job: Job) -> dict[str, Any]:
    """What a record must say for its field to be the one that is wanted."""
    with job.start() as start:
        files = {"fixed": job.pair.fixed, "moving": job.pair.moving, "init": start}
        hashes = {role: file_hash(path) for role, path in files.items() if path is not None}
    return {"optreg": optreg.__version__, "config": job.config.to_dict(), "inputs": hashes}


def done_before(job: Job) -> bool:
    """Whether the field is there, whole, and made from the same files with the same settings."""
    record = Records(job.records).read(job.pair.name)
    if record.get("status") != "done" or not job.output.is_file():
        return False
    try:
        asked = {**_asked(job), "output_sha256": file_hash(job.output)}
    except (OSError, InputError):
        return False
    # As JSON has it: tuples are lists there.
    asked = json.loads(json.dumps(asked))
    return all(record.get(key) == value for key, value in asked.items())


def register_pair(job: Job) -> dict[str, Any]:
    """Register a pair and write field and record.

    Returns
    -------
    dict
        The record. ``status`` is "done" or "failed", then with ``error``: whatever goes wrong with
        one pair is kept there and raised to nobody, so that it does not stop the others.
    """
    records, name, start = Records(job.records), job.pair.name, time.time()
    record: dict[str, Any] = {
        "name": name,
        "status": "running",
        "fixed": str(job.pair.fixed),
        "moving": str(job.pair.moving),
        "host": platform.node(),
        "process": os.getpid(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start)),
    }
    try:
        records.write(name, record)
        record |= _asked(job)
        record |= _registered(job)
        record["status"] = "done"
    except (OptregError, OSError, MemoryError) as error:
        record |= {"status": "failed", "error": " ".join(str(error).split()) or "out of memory"}
    except Exception as error:  # a bug: say so, and go on with the other pairs
        what = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
        record |= {"status": "failed", "error": what}
    record["seconds"] = time.time() - start
    try:
        records.write(name, record)
    except OutputError as error:
        record |= {"status": "failed", "error": str(error)}
    return record


def _registered(job: Job) -> dict[str, Any]:
    from optreg.registration import register

    fixed, moving = load_image(job.pair.fixed), load_image(job.pair.moving)
    with job.start() as start:
        result = register(
            fixed,
            moving,
            config=job.config,
            init=start,
            refine=start is not None,
            device=job.device,
            threads=job.threads,
        )
    write_field(job.output, result.disp, fixed.grid, overwrite=True)
    _check_written(job.output, fixed.shape, result.disp)
    return {
        "message": result.status.value,
        "similarity": result.similarity,
        "device": result.device,
        "timings_s": result.timings,
        "quality": result.quality,
        "output_sha256": file_hash(job.output),
    }


def _check_written(path: Path, shape: tuple[int, ...], disp: np.ndarray) -> None:
    """Raise unless the file holds the field, without a fold."""
    written = read_field(path).disp
    if not np.array_equal(written, disp):
        raise OutputError(f"{path}: does not read back as it was written; check the disk")
    if count_folds(written).folded_tetrahedra:
        raise InputError(f"{path}: the field folds; report this pair")
