"""Processes that read damaged files, each watched: it may neither die, nor hang, nor grow."""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing as mp
import multiprocessing.connection
import os
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from optreg.io.formats.itk_files import HDF5

__all__ = ["Outcome", "Pool", "content_of"]

_MEMORY = 1 << 30
"""Bytes that a process may take beyond what it has at its start."""


class Outcome(NamedTuple):
    """What became of one damaged file.

    Attributes
    ----------
    number : int
        Of the file; with the seed it says all.
    file : str
        Name of the sample it was made of.
    verdict : str
        "read" and "refused" are as it should be; "wrong", "died" and "hung" are not.
    detail : str
        More about the latter.
    seconds : float
    """

    number: int
    file: str
    verdict: str
    detail: str
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether the reader did what it should."""
        return self.verdict in ("read", "refused")


def content_of(sound: Path, file: str, seed: int, number: int) -> bytes:
    """Damaged content of a sample."""
    from fuzz_mutations import damaged

    return damaged((sound / file).read_bytes(), file, np.random.default_rng([seed, number]))


def sample_of(seed: int, number: int, like: str) -> Any:
    """Sample that a damaged file is made of, of those with a name like a pattern."""
    from fuzz_files import SAMPLES

    some = [sample for sample in SAMPLES if fnmatch(sample.file, like)]
    return some[int(np.random.default_rng([seed, number, 1]).integers(len(some)))]


class Pool:
    """Processes that take one file after the other.

    Parameters
    ----------
    processes : int
    seed : int
    limit_s : float
        Time that a file may take.
    like : str
        Pattern of the names of the samples that are used.
    """

    def __init__(self, processes: int, seed: int, limit_s: float = 10.0, like: str = "*"):
        self._count, self.seed, self._limit_s, self._like = processes, seed, limit_s, like
        self._context = mp.get_context("spawn")  # a fork would share what a file has spoiled
        self._workers: list[_Worker] = []
        self.folder = Path(tempfile.mkdtemp(prefix="optreg-fuzz-"))

    def __enter__(self) -> Pool:
        from fuzz_files import SAMPLES, write_companions

        sound = self.folder / "sound"
        sound.mkdir()
        write_companions(sound)
        for sample in SAMPLES:
            sample.make(sound / sample.file)
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, numbers: Iterable[int]) -> Iterator[Outcome]:
        """Outcomes for the files of these numbers, in the order in which they come."""
        waiting = iter(numbers)
        for number in waiting:
            folder = self.folder / f"worker-{len(self._workers)}"
            worker = _Worker(self._context, folder, self.seed, self._like)
            self._workers.append(worker)
            worker.give(number)
            if len(self._workers) == self._count:
                break
        while busy := [w for w in self._workers if w.number is not None]:
            mp.connection.wait([w.pipe for w in busy], timeout=0.2)
            for worker in busy:
                outcome = worker.outcome(self._limit_s)
                if outcome is None:
                    continue
                yield outcome
                if (number := next(waiting, None)) is not None:
                    worker.give(number)


class _Worker:
    """A process and what it is doing."""

    def __init__(self, context: Any, folder: Path, seed: int, like: str):
        self._context, self._folder, self._seed, self._like = context, folder, seed, like
        self.number: int | None = None
        self._start()

    def _start(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        sound = self._folder.with_name("sound")
        shutil.copytree(sound, self._folder)
        self.pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_work, args=(theirs, self._folder, sound, self._seed, self._like), daemon=True
        )
        self._process.start()
        theirs.close()
        self.pipe.recv()  # its imports do not count

    def give(self, number: int) -> None:
        """Let it read the file of a number."""
        self.number, self._since = number, time.perf_counter()
        self.pipe.send(number)

    def outcome(self, limit_s: float) -> Outcome | None:
        """What became of it; None as long as there is time."""
        number, took = self.number, time.perf_counter() - self._since
        try:
            found = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):
            self._process.join()
            found = ("died", f"exit code {self._process.exitcode}\n{self._said()}")
        if found is None and took > limit_s:
            found = ("hung", f"no answer after {limit_s:g} s")
        if found is None:
            return None
        if found[0] in ("died", "hung"):
            self.stop()
            self._start()
        self.number = None
        assert number is not None
        return Outcome(number, sample_of(self._seed, number, self._like).file, *found, took)

    def stop(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _said(self) -> str:
        return (self._folder / "stderr.txt").read_text(errors="replace")[:3000]


def _work(pipe: Any, folder: Path, sound: Path, seed: int, like: str) -> None:
    """Read the files of the numbers that come, and say what became of them."""
    from fuzz_files import SAMPLES
    from fuzz_readers import WrongError, read

    warnings.simplefilter("error")
    logging.getLogger("optreg").addHandler(logging.NullHandler())  # notices are no noise
    # With sound files all libraries are loaded; what is taken after that is taken for the file.
    for sample in SAMPLES:
        if not sample.file.endswith(HDF5):  # which another process reads first
            assert read(sample, sound / sample.file), f"{sample.file} is refused as it is"
    stderr = os.open(folder / "stderr.txt", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(stderr, 2)
    faulthandler.enable()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send("ready")
    while True:
        number = pipe.recv()
        sample = sample_of(seed, number, like)
        path = folder / sample.file
        path.write_bytes(content_of(sound, sample.file, seed, number))
        try:
            found = ("read" if read(sample, path) else "refused", "")
        except WrongError as error:
            found = ("wrong", str(error))
        except BaseException:  # the reader's, whatever it is
            found = ("wrong", traceback.format_exc())
        if os.fstat(stderr).st_size:
            said = (folder / "stderr.txt").read_text(errors="replace")
            found = ("wrong", f"{found[1]}\non stderr: {said[:2000]}")
            os.ftruncate(stderr, 0)
        pipe.send(found)
