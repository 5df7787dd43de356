"""``optreg compare``: several methods side by side."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optreg.cli.console import (
    SOME_FAILED,
    example,
    new_parser,
    print_table,
    refuse_options,
    thread_count,
)
from optreg.cli.inputs import add_dataset_options, dataset_of
from optreg.cli.many import add_judging_options, judge_fields, print_failed
from optreg.cli.outcome import print_missing
from optreg.errors import ConfigError

if TYPE_CHECKING:
    from optreg.compare import Comparison, Method

__all__ = ["add_parser", "run"]

_log = logging.getLogger("optreg")

_OF_FIELDS = (
    "--dataset", "--images", "--split", "--labels", "--landmarks", "--mask", "--jobs", "--hd95",
)  # fmt: skip
_WRITTEN = ("table.csv", "table.tex", "comparison.html")

_TEXT = """\
Takes the fields of any methods (folders or zips; say with --dataset which pairs they are of), or
folders that 'optreg evaluate --fields ... --output' wrote, and writes comparison.html (works
offline), table.csv and table.tex: means, also by task, the score of the LUMIR validation board,
significance-based ranks, Wilcoxon tests with Bonferroni correction, effect sizes with bootstrap
intervals, differences by structure, pictures of the pairs that differ most. The first method is
the one the others are compared with; what counts are the pairs that all have. Fields are judged
first, which leaves scores/NAME in the output folder (with _ for what no file name may have, and
a number after a name that another one is equal to then).

""" + example(
    "optreg compare optreg=out/submission.zip net=network.zip --dataset evaluation_config.json \\",
    "    --labels labelsVal --landmarks landmarksVal --jobs 2 --output comparison",
    "optreg compare optreg=scores/optreg greedy=scores/greedy --output comparison",
)


def add_parser(commands: Any) -> argparse.ArgumentParser:
    parser = new_parser(commands, "compare", "compare methods on the same pairs", _TEXT)
    parser.add_argument(
        "methods", nargs="+", type=_named, metavar="NAME=PATH", help="fields or scores of a method"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--title", default="Comparison of methods", help="headline of the page")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier comparison")
    add_dataset_options(parser, required=False)
    fields = add_judging_options(parser, "for fields")
    fields.add_argument("--jobs", type=thread_count, default=1, metavar="N", help="cases at a time")
    return parser


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name.strip() and equals and path):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PATH")
    return name.strip(), Path(path)


def run(args: argparse.Namespace) -> int:
    from optreg.compare import Comparison
    from optreg.io.files import check_writable, make_folder, write_atomic
    from optreg.report import comparison as report
    from optreg.report.outcome import Attempts

    if len(args.methods) < 2:
        raise ConfigError("two or more methods are needed; give NAME=PATH of each")
    folder = make_folder(args.output)
    for name in _WRITTEN:
        check_writable(folder / name, args.overwrite)
    methods, all_judged = _scores(args, folder)
    found = Comparison(methods)
    for name in found.judged_by_other_labels:
        what = f"{name}: judged by other labels than {methods[0].name}"
        _log.warning("%s, so that they cannot be compared; evaluate both alike", what)
    attempts = Attempts()
    makers: tuple[Callable[[], str], ...] = (
        lambda: report.csv_table(found),
        lambda: report.latex_table(found),
        lambda: report.page(found, args.title, attempts),
    )
    for name, text_of in zip(_WRITTEN, makers, strict=True):
        with attempts(name):
            write_atomic(folder / name, [text_of().encode()], args.overwrite)
    if not args.quiet:
        _print(found)
        print(f"results in {folder}")
        print_missing(attempts.failed)
    return SOME_FAILED if attempts.failed or not all_judged else 0


def _scores(args: argparse.Namespace, folder: Path) -> tuple[tuple[Method, ...], bool]:
    """Scores of the methods, and whether all fields that were given could be judged."""
    from optreg.compare import read_scores

    raw = [name for name, path in args.methods if path.exists() and not _is_judged(path)]
    if all(_is_judged(path) for _, path in args.methods):
        refuse_options(args, _OF_FIELDS, "with scores of fields that are judged")
    if raw and not args.labels:
        refuse_options(args, ["--hd95"], "without --labels")
    if raw and not args.dataset:
        raise ConfigError(f"{raw[0]}: fields need --dataset: which belongs to which images")
    dataset = dataset_of(args) if raw else None
    scores, all_judged = [], True
    folders = _folder_names([name for name, _ in args.methods])
    for name, path in args.methods:
        place = path
        if dataset is not None and name in raw:
            place = folder / "scores" / folders[name]
            judged = judge_fields(args, dataset, path, place)
            all_judged = all_judged and not any("error" in numbers for numbers in judged)
            if not args.quiet:
                print_failed(judged, f"{name}: ")
        scores.append(read_scores(name, place))
    return tuple(scores), all_judged


def _folder_names(methods: Sequence[str]) -> dict[str, str]:
    """What the folder of each method is called: as the method where a folder may be."""
    found: dict[str, str] = {}
    safe = {name: _safe(name) for name in methods}
    for name in sorted(safe, key=lambda name: safe[name] != name):  # who can keep it does
        count, candidate = 1, safe[name]
        while candidate.casefold() in {other.casefold() for other in found.values()}:
            count += 1
            candidate = f"{safe[name]}-{count}"
        found[name] = candidate
    return found


def _safe(name: str) -> str:
    from optreg.io.files import file_ending

    name = re.sub(r"[^\w.+-]|^\.", "_", name)
    return name.replace(".", "_") if file_ending(name) else name


def _is_judged(path: Path) -> bool:
    return (path / "cases.csv").is_file()


def _print(found: Comparison) -> None:
    from optreg.metrics import METRICS

    shown = [m for m in ("dice", "hd95", "tre", "ndv", "sdlogj") if m in found.metrics]
    rows = [
        [name, *(METRICS[m].text(means[m]) for m in shown), f"{found.scores[name]:.3f}"]
        for name, means in found.means.items()
    ]
    header = [f"{len(found.pairs)} pairs", *map(found.title, shown), "score"]
    print_table(rows, header=header)
