"""What all commands share at the terminal: options, progress, tables, notices."""

from __future__ import annotations

import argparse
import difflib
import logging
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

from optreg.errors import ConfigError
from optreg.grid import Grid

__all__ = [
    "SOME_FAILED",
    "Parser",
    "Reporter",
    "add_options",
    "example",
    "grid_text",
    "interruptible",
    "new_parser",
    "pair_progress",
    "part",
    "print_table",
    "progress",
    "refuse_options",
    "require_together",
    "start_logging",
    "thread_count",
]

SOME_FAILED = 5
"""Exit code where something is missing and the rest is done: a pair of many, a picture, a table."""

Reporter = Callable[[str, float], None]
"""Called with a stage and how much of it is done, 0 to 1."""


class Parser(argparse.ArgumentParser):
    """Parser that knows what is nearly right; ``given`` of what it parses: the options as given."""

    def __init__(self, **settings: Any):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the class above; what no option is called is found before what is missing."""
        words = sys.argv[1:] if args is None else list(args)
        known, given, unknown = self._option_string_actions, set(), []
        for word in words:
            name = word.partition("=")[0]
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                break  # what follows are no options, or those of a command
            if name in known:
                given.add(name)
            elif re.match(r"--?[A-Za-z]", word) and " " not in word:
                unknown.append(name)
        if unknown and not given & {"-h", "--help"}:
            near = [n for name in unknown for n in _nearest(name, known)]
            self._refuse(f"unrecognized arguments: {' '.join(unknown)}", near)
        parsed, left = super().parse_known_args(words, namespace)
        parsed.given = given | getattr(parsed, "given", set())  # a command has set its own
        return parsed, left

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [str(choice) for choice in action.choices or ()]
        if choices and str(value) not in choices and (near := _nearest(str(value), choices)):
            what = action.option_strings[0] if action.option_strings else action.metavar
            self._refuse(f"argument {what}: invalid choice: '{value}'", near)
        super()._check_value(action, value)

    def _refuse(self, what: str, near: Sequence[str]) -> None:
        if not near:
            self.error(what)
        # The usage, which is long, would hide the one thing that is of use.
        self.exit(2, f"error: {what}; did you mean {' '.join(near)}?\n")


def _nearest(word: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.7)


def new_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    text: str,
) -> argparse.ArgumentParser:
    """Parser of a command; `text` is its description with an example and keeps its lines."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.\n\n{text}",
        allow_abbrev=False,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that every command has."""
    group = parser.add_argument_group("terminal")
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("--quiet", action="store_true", help="no progress, no notices")
    loudness.add_argument("--verbose", action="store_true", help="say more about what is done")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")


def thread_count(text: str) -> int:
    """Type of ``--threads``."""
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number of threads")
    return count


class _Handler(logging.Handler):
    """Log records as one line on stderr, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        line = level + " ".join(record.getMessage().split())
        bars = sys.modules.get("tqdm")
        if bars is None:
            print(line, file=sys.stderr)
        else:
            bars.tqdm.write(line, file=sys.stderr)
        if record.exc_info:
            traceback.print_exception(*record.exc_info)


class _Interrupt:
    """Whether the user has asked to stop.

    Python drops the exception of a signal that arrives inside a callback from a library written in
    C (a finalizer, a hook of a compiler), and prints it. It is raised again when progress is made.
    """

    asked = False

    @classmethod
    def ask(cls, number: int, frame: FrameType | None) -> None:
        cls.asked = True
        raise KeyboardInterrupt

    @classmethod
    def check(cls) -> None:
        if cls.asked:
            raise KeyboardInterrupt

    @classmethod
    def report_dropped(cls, dropped: sys.UnraisableHookArgs) -> None:
        """Print what Python drops, but for an interrupt that is remembered."""
        if not (cls.asked and isinstance(dropped.exc_value, KeyboardInterrupt)):
            sys.__unraisablehook__(dropped)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a command, wherever it arrives."""
    _Interrupt.asked = False
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, _Interrupt.ask)
        hook, sys.unraisablehook = sys.unraisablehook, _Interrupt.report_dropped
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook = hook


def start_logging(args: argparse.Namespace) -> None:
    """Send what the package logs to stderr, as much as the options ask for."""
    logger = logging.getLogger("optreg")
    # Replaced, not added: `main` may run more than once in a process.
    for handler in [h for h in logger.handlers if isinstance(h, _Handler)]:
        logger.removeHandler(handler)
    logger.addHandler(_Handler())
    logger.propagate = False
    level = logging.INFO if args.verbose else logging.ERROR if args.quiet else logging.WARNING
    logger.setLevel(logging.DEBUG if getattr(args, "debug", False) else level)


@contextmanager
def progress(quiet: bool) -> Iterator[Reporter]:
    """Progress bar on stderr; nothing where nobody would see it.

    Yields the function that `optreg.register` takes as `progress`.
    """
    bars = None if quiet or not sys.stderr.isatty() else _tqdm()
    if bars is None:
        yield lambda stage, fraction: _Interrupt.check()
        return
    with bars.tqdm(
        total=100,
        file=sys.stderr,
        leave=False,
        ncols=72,  # given, because some terminals state a size of zero
        nrows=24,
        bar_format="{desc:<14}{percentage:3.0f} % |{bar:32}| {elapsed}",
    ) as bar:

        def report(stage: str, fraction: float) -> None:
            _Interrupt.check()
            bar.set_description_str(stage, refresh=False)
            bar.n = round(100 * min(max(fraction, 0.0), 1.0), 1)
            bar.refresh()

        yield report


@contextmanager
def pair_progress(
    total: int, before: int, quiet: bool
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Progress over pairs on stderr: a bar with rate and remaining time on a terminal, else a line
    each; nothing if quiet.

    Yields a function that takes the record of each pair that has ended: ``name``, ``status``,
    perhaps ``seconds``.
    """
    bars = _tqdm() if not quiet and sys.stderr.isatty() else None
    if bars is not None:
        with bars.tqdm(total=total, initial=before, unit="pair", file=sys.stderr) as bar:

            def step(record: Mapping[str, Any]) -> None:
                _Interrupt.check()
                bar.update()

            yield step
        return
    done = [before]

    def line(record: Mapping[str, Any]) -> None:
        _Interrupt.check()
        done[0] += 1
        took = f" {record['seconds']:.1f} s" if "seconds" in record else ""
        if not quiet:
            text = f"{done[0]}/{total} {record['name']} {record['status']}{took}"
            print(text, file=sys.stderr, flush=True)

    yield line


def part(report: Reporter, low: float, high: float) -> Reporter:
    """`report` for a step that is from `low` to `high` of the whole."""
    return lambda stage, fraction: report(stage, low + fraction * (high - low))


def _tqdm() -> ModuleType | None:
    try:
        import tqdm
    except ImportError:
        return None
    return tqdm


def print_table(
    rows: Sequence[Sequence[Any]], header: Sequence[str] = (), numbers: bool = True
) -> None:
    """Print columns; the first is aligned to the left, the others to the right if `numbers`.

    An empty row is a gap.
    """
    text = [[str(cell) for cell in row] for row in ([list(header)] if header else []) + list(rows)]
    if not text:
        return
    count = max(len(row) for row in text)
    widths = [max((len(row[i]) for row in text if i < len(row)), default=0) for i in range(count)]
    for number, row in enumerate(text):
        cells = [
            cell.rjust(width) if numbers and column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        print("  ".join(cells).rstrip())
        if header and number == 0:
            print("-" * (sum(widths) + 2 * (count - 1)))


def grid_text(grid: Grid) -> str:
    """Size of an image in words, e.g. ``160 x 224 x 192 voxels of 1 x 1 x 1 mm``."""
    return (
        f"{' x '.join(str(n) for n in grid.shape)} voxels of "
        f"{' x '.join(f'{s:.4g}' for s in grid.spacing)} mm"
    )


def example(*lines: str) -> str:
    """The example at the end of a help text."""
    return "example:\n" + "\n".join("  " + line for line in lines)


def require_together(first: Any, second: Any, names: str) -> None:
    """Raise the ConfigError for one of two options that only make sense together."""
    if (first is None) != (second is None):
        raise ConfigError(f"{names} go together; give both or none")


def refuse_options(args: argparse.Namespace, options: Iterable[str], where: str) -> None:
    """Raise the ConfigError for an option that was given and would not be used.

    Parameters
    ----------
    options : iterable of str
        Those that are not used.
    where : str
        In which case: ``with --points``, ``without --labels``.
    """
    for option in options:
        if option in args.given:
            raise ConfigError(f"{option} does not go {where}; leave it out")
