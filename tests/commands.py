"""Ways to run a command that must succeed or fail; fixtures for the conftest.py of a folder."""

import logging

import pytest

from optreg import cli

__all__ = ["command_line", "fails", "logger_given_back", "succeeds"]


def command_line(command, *more, **options):
    """Arguments of a command: ``fixed_labels="a.nii"`` becomes ``--fixed-labels a.nii``."""
    named = [word for k, v in options.items() for word in (f"--{k.replace('_', '-')}", v)]
    return [str(word) for word in (command, *named, *more)]


@pytest.fixture
def succeeds(capsys):
    """Function that runs a command which must end well; gives its output, `out` and `err`."""

    def run(command, *more, **options):
        assert cli.main(command_line(command, *more, **options)) == 0
        return capsys.readouterr()

    return run


@pytest.fixture
def fails(capsys):
    """Function that runs a command which must end with a code and one line, which it gives."""

    def run(code, command, *more, **options):
        assert cli.main(command_line(command, *more, **options)) == code
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1, error
        return error

    return run


@pytest.fixture(autouse=True)
def logger_given_back():
    """Commands take over the package's logger; the tests of other folders find it untouched."""
    yield
    logger = logging.getLogger("optreg")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
