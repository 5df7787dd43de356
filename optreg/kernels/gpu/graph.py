"""Work that is done again and again: recorded as a CUDA graph, it is launched as one.

On few voxels a device needs less time for an iteration than Python for its sixty launches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from optreg.kernels import Work

__all__ = ["Recorder", "Repeated", "repeated"]

_log = logging.getLogger("optreg")

_BUSY = 2**20
"""Voxels that keep the device at work for longer than launching it takes."""


def repeated(work: Work, voxels: int, record: Callable[[Work], Work]) -> Work:
    """The same work in the form that is best for so many voxels; see `Backend`."""
    return Repeated(work, record) if voxels <= _BUSY else work


class Repeated:
    """Work that is done as it is once, then recorded, and from then on played.

    The first time compiles kernels and copies constants, which a recording cannot. Where recording
    fails, for want of memory or of anything else, the work goes on as it is.

    Parameters
    ----------
    work : callable
        Without arguments or result.
    record : callable
        Takes the work and returns what plays it; that may raise anything, and has done nothing
        then.
    """

    def __init__(self, work: Work, record: Callable[[Work], Work]):
        self._work, self._record = work, record
        self._play: Work | None = None
        self._begun = False

    def __call__(self) -> None:
        """Do the work once more."""
        if not self._begun:
            self._begun = True
            self._work()
            return
        if self._play is None:
            try:
                self._play = self._record(self._work)
            except Exception as error:
                _log.info("not recorded, hence slower: %s", " ".join(str(error).split()))
                self._play = self._work
        self._play()


class Recorder:
    """Records work as a CUDA graph.

    Parameters
    ----------
    cupy : module
    """

    def __init__(self, cupy: Any):
        self._cupy = cupy
        # Nothing is ever done on this stream. It does not wait for the one that work is done on,
        # and made once, it finds the memory of earlier recordings.
        self._stream = cache(lambda: cupy.cuda.Stream(non_blocking=True))

    def __call__(self, work: Work) -> Work:
        """What plays the work: on the same arrays, in the order of the current stream."""
        cuda, stream = self._cupy.cuda, self._stream()
        allocate, held = cuda.get_allocator(), []

        def keep(size: int) -> Any:
            # What the work takes and gives back must not go to anybody else: the graph uses it
            # whenever it is played.
            held.append(allocate(size))
            return held[-1]

        with stream, cuda.using_allocator(keep):
            stream.begin_capture()
            try:
                work()
            except BaseException:
                # What went wrong may have ended the recording already.
                with suppress(Exception):
                    stream.end_capture()
                raise
            graph = stream.end_capture()

        def play(needed: list[Any] = held) -> None:
            graph.launch()

        return play
