"""What all commands show at the terminal: progress, notices, tables."""

import io
import logging
import sys
from argparse import Namespace

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


def test_table_is_aligned(capsys):
    console.print_table([("a", "1.5", "22"), (), ("long name", "", "3")], header=("", "x", "y"))
    assert capsys.readouterr().out == (
        "             x   y\n------------------\na          1.5  22\n\nlong name        3\n"
    )
