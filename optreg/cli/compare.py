"""``optreg compare``: the scores of several methods side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from optreg.cli.console import example, new_parser, print_table
from optreg.errors import ConfigError

__all__ = ["add_parser", "run"]

_TEXT = """\
Takes the folders that 'optreg evaluate --fields ... --output' wrote, of any method, and writes
comparison.html (works offline), table.csv and table.tex: means, the score of the LUMIR validation
board, significance-based ranks, Wilcoxon tests with Bonferroni correction, effect sizes with
bootstrap intervals, differences by structure and pair. The first method is the one the others are
compared with; what counts are the pairs that all have.

""" + example(
    "optreg compare optreg=scores/optreg greedy=scores/greedy --output comparison",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "compare", "compare methods on the same pairs", _TEXT)
    parser.add_argument(
        "methods", nargs="+", type=_named, metavar="NAME=DIR", help="scores of a method"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--title", default="Comparison of methods", help="headline of the page")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier comparison")
    return parser


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=DIR")
    return name, Path(folder)


def run(args: argparse.Namespace) -> int:
    from optreg.compare import Comparison, read_scores
    from optreg.io.files import check_writable, make_folder, write_atomic
    from optreg.metrics import METRICS
    from optreg.report import comparison as report

    if len(args.methods) < 2:
        raise ConfigError("two or more methods are needed; give NAME=DIR of each")
    folder = make_folder(args.output)
    for name in ("comparison.html", "table.csv", "table.tex"):
        check_writable(folder / name, args.overwrite)
    found = Comparison(tuple(read_scores(name, place) for name, place in args.methods))
    for name, text in (
        ("table.csv", report.csv_table(found)),
        ("table.tex", report.latex_table(found)),
        ("comparison.html", report.page(found, args.title)),
    ):
        write_atomic(folder / name, [text.encode()], args.overwrite)
    if not args.quiet:
        shown = [m for m in ("dice", "hd95", "tre", "ndv", "sdlogj") if m in found.metrics]
        rows = [
            [name, *(METRICS[m].text(means[m]) for m in shown), f"{found.scores[name]:.3f}"]
            for name, means in found.means.items()
        ]
        header = [f"{len(found.pairs)} pairs", *(METRICS[m].title for m in shown), "score"]
        print_table(rows, header=header)
        print(f"results in {folder / 'comparison.html'}")
    return 0
