"""Running jobs on the processors of one machine (joblib, loky) or of many (joblib, dask)."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from optreg.batch.records import Records
from optreg.batch.work import Job, Task, register_pair
from optreg.errors import ConfigError, DeviceError
from optreg.kernels import available_threads

__all__ = ["Cluster", "Local", "each", "run_all"]

_log = logging.getLogger("optreg")

_PATIENCE_S = 10
"""How long a scheduler may take to answer."""

_WRITERS = 2
"""Pairs that are written while one is registered; each holds a result in memory."""


@dataclass(frozen=True)
class Local:
    """Processes of this machine.

    Attributes
    ----------
    jobs : int
        How many; one works in this process.
    """

    jobs: int = 1

    def threads(self) -> int:
        """Of each process, so that together they are no more than there are processors."""
        return max(1, available_threads() // self.jobs)

    def parallel(self) -> AbstractContextManager[Any]:
        """Context with a ``joblib.Parallel`` that yields results as they come."""
        import joblib

        settings = {"return_as": "generator_unordered", "batch_size": 1, "pre_dispatch": "all"}
        if self.jobs == 1:
            return nullcontext(joblib.Parallel(n_jobs=1, backend="sequential", **settings))
        return nullcontext(joblib.Parallel(n_jobs=self.jobs, backend="loky", **settings))


@dataclass(frozen=True)
class Cluster:
    """Workers of a dask scheduler, which see the same files under the same names.

    Attributes
    ----------
    scheduler : str
        Address, as ``tcp://10.0.0.1:8786``.
    """

    scheduler: str

    def threads(self) -> None:
        """As many as each worker's machine has."""
        return

    @contextmanager
    def parallel(self) -> Iterator[Any]:
        """See `Local.parallel`.

        Raises
        ------
        ConfigError
            dask.distributed is not installed.
        DeviceError
            There is no scheduler at the address, or it has no workers.
        """
        import joblib

        try:
            from distributed import Client
        except ImportError as error:
            raise ConfigError("dask is not installed; pip install 'optreg[cluster]'") from error
        try:
            client = Client(self.scheduler, timeout=_PATIENCE_S)
        except (OSError, ValueError) as error:
            raise DeviceError(f"{self.scheduler}: no scheduler answers ({error})") from error
        with client:
            if not client.scheduler_info()["workers"]:
                raise DeviceError(f"{self.scheduler}: the scheduler has no workers; start some")
            with joblib.parallel_config(backend="dask"):
                yield joblib.Parallel(
                    return_as="generator_unordered", batch_size=1, pre_dispatch="all"
                )


def each(
    function: Callable[[Any], Any], items: Sequence[Any], where: Local | Cluster
) -> Iterator[Any]:
    """Results of a function for all items, in the order in which they end.

    What the function logs elsewhere is logged here, as far as it is wanted here, when it has ended.
    """
    import joblib

    level, caller = _log.getEffectiveLevel(), os.getpid()
    with where.parallel() as parallel:
        calls = (joblib.delayed(_listened)(function, item, level, caller) for item in items)
        for result, messages in parallel(calls):
            for importance, message in messages:
                _log.log(importance, "%s", message)
            yield result


class _Listener(logging.Handler):
    """Keeps level and text of what a thread logs: in a worker of dask others may log too."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[int, str]] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append((record.levelno, record.getMessage()))


def _listened(
    function: Callable[[Any], Any], item: Any, level: int, caller: int
) -> tuple[Any, list[tuple[int, str]]]:
    """Result of a function, and what it logged, unless the process that wants it has heard it."""
    if os.getpid() == caller:
        return function(item), []
    listener = _Listener()
    _log.setLevel(level)
    _log.addHandler(listener)
    try:
        return function(item), listener.messages
    finally:
        _log.removeHandler(listener)


def run_all(
    jobs: Sequence[Job],
    where: Local | Cluster,
    work: Callable[[Job], dict[str, Any]] = register_pair,
) -> Iterator[dict[str, Any]]:
    """Do all jobs; their records in the order in which they end.

    A process that dies (killed, out of memory) takes its pair with it, not the batch: what was
    running then is done again one by one, which shows whose fault it was, and the rest goes on.
    """
    if where == Local(1) and work is register_pair:
        yield from _overlapped(jobs)
        return
    left = {job.pair.name: job for job in jobs}
    while left:
        try:
            yield from _until_a_crash(left, work, where)
        except _dead_process() as error:
            _log.warning("a process died (%s); going on with the rest", _first_line(error))
            running = [n for n, job in left.items() if _status(job) == "running"]
            # Where processes die before they begin, any pair may be the one.
            for name in running or list(left):
                yield from _alone(left.pop(name), work, where)


def _status(job: Job) -> str | None:
    return Records(job.records).read(job.pair.name).get("status")


def _overlapped(jobs: Sequence[Job]) -> Iterator[dict[str, Any]]:
    """Records of all jobs, done in this process: while one pair is registered, the next one is
    read and those before are compressed and written, which takes a fourth of the whole.
    """
    writing: deque[Future[dict[str, Any]]] = deque()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(_WRITERS) as writer:
        ahead: Future[Task] | None = None
        for number, job in enumerate(jobs):
            task = (ahead or reader.submit(_read, job)).result()
            ahead = reader.submit(_read, jobs[number + 1]) if number + 1 < len(jobs) else None
            task.register()
            writing.append(writer.submit(task.write))
            while writing and (len(writing) > _WRITERS or writing[0].done()):
                yield writing.popleft().result()
        while writing:
            yield writing.popleft().result()


def _read(job: Job) -> Task:
    task = Task(job)
    task.read()
    return task


def _alone(
    job: Job, work: Callable[[Job], dict[str, Any]], where: Local | Cluster
) -> Iterator[dict[str, Any]]:
    try:
        yield from _until_a_crash({job.pair.name: job}, work, where)
    except _dead_process():
        why = "its process died, perhaps for lack of memory"
        record = {"name": job.pair.name, "status": "failed", "error": why}
        job.discard_output()
        Records(job.records).write(job.pair.name, record)
        yield record


def _until_a_crash(
    left: dict[str, Job], work: Callable[[Job], dict[str, Any]], where: Local | Cluster
) -> Iterator[dict[str, Any]]:
    for record in each(work, list(left.values()), where):
        del left[record["name"]]
        yield record


def _dead_process() -> tuple[type[BaseException], ...]:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        from distributed import KilledWorker
    except ImportError:
        return (TerminatedWorkerError,)
    return (TerminatedWorkerError, KilledWorker)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
