"""What all commands show at the terminal: progress, notices, tables."""

import io
import logging
import signal
import sys
from argparse import Namespace
from contextlib import suppress

import pytest

from optreg.cli import console


class Terminal(io.StringIO):
    """A terminal that remembers."""

    def isatty(self):
        return True


def test_progress_shows_stages_on_a_terminal_only(monkeypatch):
    def shown(stream, quiet):
        monkeypatch.setattr(sys, "stderr", stream)
        with console.progress(quiet=quiet) as report:
            report("continuous", 0.25)
        return stream.getvalue()

    text = shown(Terminal(), quiet=False)
    assert "continuous" in text and "25 %" in text
    assert shown(Terminal(), quiet=True) == ""
    assert shown(io.StringIO(), quiet=False) == ""


def test_notices_go_to_stderr_unless_quiet(capsys):
    for quiet, expected in ((False, "warning: look here\n"), (True, "")):
        console.start_logging(Namespace(quiet=quiet, verbose=False))
        logging.getLogger("optreg").warning("look\nhere")
        done = capsys.readouterr()
        assert done.err == expected and done.out == ""


def test_errors_are_called_so_even_if_quiet(capsys):
    console.start_logging(Namespace(quiet=True, verbose=False))
    logging.getLogger("optreg").error("pair 2: no such file")
    assert capsys.readouterr().err == "error: pair 2: no such file\n"


def test_table_is_aligned(capsys):
    console.print_table([("a", "1.5", "22"), (), ("long name", "", "3")], header=("", "x", "y"))
    assert capsys.readouterr().out == (
        "             x   y\n------------------\na          1.5  22\n\nlong name        3\n"
    )


@pytest.fixture
def interrupts():
    """Interrupts as Python has them; a shell in the background hands down that they are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_interrupt_that_is_swallowed_comes_back(stream, monkeypatch, interrupts):
    monkeypatch.setattr(sys, "stderr", stream())
    with (
        console.interruptible(),
        console.progress(quiet=False) as report,
        console.pair_progress(2, 0, False) as ended,
    ):
        report("refine", 0.5)
        ended({"name": "a", "status": "done"})
        with suppress(KeyboardInterrupt):  # as Python does in a finalizer
            signal.raise_signal(signal.SIGINT)
        for step in (lambda: report("refine", 0.6), lambda: ended({"name": "b"})):
            with pytest.raises(KeyboardInterrupt):
                step()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with console.interruptible(), console.progress(quiet=False) as report:
        report("another run", 0.5)


def test_interrupt_that_python_drops_is_not_printed(capsys, interrupts):
    class Dropped:
        def __init__(self, error):
            self.error = error

        def __del__(self):
            if self.error is None:
                signal.raise_signal(signal.SIGINT)
            else:
                raise self.error

    hook = sys.unraisablehook
    with console.interruptible(), console.progress(quiet=True) as report:
        Dropped(None)
        assert capsys.readouterr().err == ""
        Dropped(ValueError("of another kind"))
        assert "ValueError: of another kind" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            report("refine", 0.5)
    assert sys.unraisablehook is hook
