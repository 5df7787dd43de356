"""The command line: ``optreg demo | register | apply | evaluate | submit | ... | info``.

A command is a module here with `add_parser` and `run`. What goes wrong ends as one line on stderr
and an exit code: 0 done, 2 usage or configuration, 3 bad input, 4 device, 5 the rest is done but
something is missing (a pair of many, a picture, a table), 130 interrupted; the traceback only with
``--debug``.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["COMMANDS", "main", "make_parser"]

# Names only: the modules, and NumPy with them, take a while to import, and `main` does that where
# an interrupt is caught.
COMMANDS = (
    "demo",
    "register",
    "apply",
    "convert",
    "jacobian",
    "propagate",
    "evaluate",
    "batch",
    "submit",
    "refine",
    "check_submission",
    "compare",
    "warm_up",
    "info",
)
_DEVICE, _INTERRUPTED = 4, 130

_DESCRIPTION = """\
Learning-free deformable registration of 3-D images.

Start with 'optreg demo': it needs no data and shows what comes out.
'optreg COMMAND --help' has an example of each command."""


def make_parser() -> argparse.ArgumentParser:
    """Parser of the whole command line."""
    from importlib import import_module

    from optreg import __version__
    from optreg.cli import console

    parser = console.Parser(
        prog="optreg",
        description=_DESCRIPTION,
    )
    parser.add_argument("--version", action="version", version=f"optreg {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f"optreg.cli.{name}")
        command = module.add_parser(commands)
        console.add_options(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process if absent.
    """
    args = None
    try:
        args = make_parser().parse_args(argv)
        return _run(args)
    except KeyboardInterrupt:
        return _failed(args, "interrupted; nothing half-written was left", _INTERRUPTED)


def _run(args: argparse.Namespace) -> int:
    """Run the command of `args`; what goes wrong becomes a line and an exit code."""
    from optreg.cli import console
    from optreg.errors import OptregError, OutputError

    console.start_logging(args)
    try:
        with console.interruptible():
            code = int(args.run(args) or 0)
        sys.stdout.flush()  # a full disk behind it shows here
        return code
    except OptregError as err:
        return _failed(args, str(err), err.exit_code)
    except MemoryError as err:
        what = str(err) or "out of memory"
        return _failed(args, f"{what}; use smaller images or a machine with more memory", _DEVICE)
    except BrokenPipeError:
        # The reader of the output went away (``optreg info | head``): no error of this program.
        _give_up_output()
        return 0
    except OSError as err:
        what = f"{err.filename or 'output'}: {err.strerror or err}; check the disk and its rights"
        if err.filename is None:
            _give_up_output()
        return _failed(args, what, OutputError.exit_code)
    except Exception as err:  # what is not expected still ends in one line
        what = f"unexpected {type(err).__name__}: {err}; run again with --debug and report it"
        return _failed(args, what, 1)


def _give_up_output() -> None:
    """Python would complain once more about what is left when it closes stdout."""
    with suppress(OSError):  # stdout may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(args: argparse.Namespace | None, message: str, code: int) -> int:
    from optreg.errors import OptregError

    if args is not None and args.debug:
        import traceback

        traceback.print_exc()
    print("error:", OptregError(message), file=sys.stderr)
    return code
