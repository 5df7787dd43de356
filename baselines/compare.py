"""Methods x pairs -> fields, numbers, one table per task.

``python baselines/compare.py --data DATA --methods greedy-tuned,optreg-default --output OUT``

Everything is kept in ``OUT/METHOD/PAIR.*`` and not done again: stop it at any time, run the same
command once more. One registration runs at a time, so that its seconds mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import effects
import methods
import process
import tables
from dataset import Pair, read_tasks
from judge import judge
from methods import Method
from optreg.errors import OptregError
from optreg.io import load_image, read_field
from optreg.submission import field_file
from setup_env import DEFAULT_FOLDER

SOME_FAILED = 5
REFERENCE = "optreg-default"


def add_options(parser: argparse.ArgumentParser, *, first: bool = True) -> None:
    """Options that `compare`, `curve` and `tune` share; ``first``: also for the first N pairs."""
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("OPTREG_DATA"),
        required="OPTREG_DATA" not in os.environ,
        help="folder in LUMIR layout (without: OPTREG_DATA)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="OUT")
    parser.add_argument("--envs", type=Path, default=DEFAULT_FOLDER, help="see setup_env.py")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of every method")
    if first:
        parser.add_argument("--pairs", type=int, metavar="N", help="only the first N of each task")
    parser.add_argument(
        "--time-limit",
        type=float,
        metavar="S",
        help="a registration that takes longer is ended, and has failed",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Option ``--set``, as `given_settings` expects it."""
    parser.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="METHOD.KEY=VALUE",
        help="a setting of a method, such as deeds.binary=PATH or fields.folder=DIR",
    )


def _setting(text: str) -> tuple[str, str, Any]:
    """Method, key and value of ``METHOD.KEY=VALUE``; a value that is no JSON is text."""
    name, _, value = text.partition("=")
    method, _, key = name.rpartition(".")
    if not method or not key or not value:
        raise argparse.ArgumentTypeError(f"'{text}' is not METHOD.KEY=VALUE")
    try:
        return method, key, json.loads(value)
    except ValueError:
        return method, key, value


def given_settings(names: str, given: list[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings that the user gave, for each name of a comma-separated list.

    Raises
    ------
    ValueError
        Settings of a method that is not in the list.
    """
    settings: dict[str, dict[str, Any]] = {name: {} for name in names.split(",")}
    for name, key, value in given:
        if name not in settings:
            raise ValueError(f"--set {name}.{key}: '{name}' is not among the methods")
        settings[name][key] = value
    return settings


def wanted_methods(names: str, given: list[tuple[str, str, Any]]) -> list[Method]:
    """Methods of a comma-separated list, with `given_settings`.

    Raises
    ------
    ValueError
        An unknown method, or settings of one that is not in the list.
    """
    return [methods.named(name, own) for name, own in given_settings(names, given).items()]


def result(
    method: Method, pair: Pair, args: argparse.Namespace, *, hd95: bool = False
) -> dict[str, Any]:
    """Numbers of a method on a pair: read if they are there, else computed.

    Raises
    ------
    RuntimeError
        The method failed, or what is there was made with other settings.
    """
    stem = args.output / method.name / pair.name
    done = process.beside(stem, ".metrics.json")
    if done.exists():
        numbers = _made_by(method, json.loads(done.read_text()), stem)
        if not hd95 or "vanished_labels" in numbers:
            return numbers
    fields, run = _fields(method, pair, stem, args)
    numbers = judge(pair, fields.disp, fields.inverse, hd95=hd95)
    for key in ("seconds", "process_seconds", "peak_memory_mb"):
        if key in run:
            numbers[key] = run[key]
    numbers["settings"] = method.settings
    stem.parent.mkdir(parents=True, exist_ok=True)
    process.write_text(done, json.dumps(numbers, indent=1))
    if args.drop_fields:
        for suffix in (".npy", ".inverse.npy"):
            process.beside(stem, suffix).unlink(missing_ok=True)
    return numbers


def _made_by(method: Method, record: dict[str, Any], stem: Path) -> dict[str, Any]:
    # As JSON has them: a tuple comes back as a list.
    if record["settings"] != json.loads(json.dumps(method.settings)):
        raise RuntimeError(f"{stem.parent} was made with other settings; remove it")
    return record


def _fields(
    method: Method, pair: Pair, stem: Path, args: argparse.Namespace
) -> tuple[process.Fields, dict[str, Any]]:
    if not method.script:
        return process.Fields(_ready_field(method, pair)), {}
    forward, inverse, record = (
        process.beside(stem, suffix) for suffix in (".npy", ".inverse.npy", ".run.json")
    )
    if forward.exists() and record.exists():
        run = _made_by(method, json.loads(record.read_text()), stem)
    else:
        run = process.call(
            method.python(args.envs),
            method.script,
            (pair.images.fixed, pair.images.moving),
            stem,
            threads=args.threads,
            settings=method.settings,
            limit_s=args.time_limit,
        )
    backward = np.load(inverse) if inverse.exists() else None
    return process.Fields(np.load(forward), backward), run


def _ready_field(method: Method, pair: Pair) -> np.ndarray:
    """Displacement from a folder or zip of fields in the challenge's format; zeros without one."""
    grid = load_image(pair.images.fixed).grid
    if not method.needs:
        return np.zeros((3, *grid.shape), np.float32)
    with field_file(Path(method.settings[method.needs]), pair.images.file_name) as path:
        return read_field(path, grid).disp


def collect(
    wanted: Iterable[Method], pairs: Iterable[Pair], args: argparse.Namespace, **options: Any
) -> tuple[tables.Records, dict[str, dict[str, str]]]:
    """Numbers by method and pair, and by method and pair a sentence for what failed."""
    records: dict[str, dict[str, dict[str, Any]]] = {}
    failures: dict[str, dict[str, str]] = {}
    pairs = list({pair.name: pair for pair in pairs}.values())
    for method in wanted:
        records[method.name] = {}
        for pair in pairs:
            try:
                numbers = result(method, pair, args, **options)
            except (RuntimeError, OSError, ValueError, OptregError) as error:
                failures.setdefault(method.name, {})[pair.name] = str(error)
                print(f"error: {method.name} {pair.name}: {error}", file=sys.stderr)
                continue
            records[method.name][pair.name] = numbers
            shown = ", ".join(
                f"{key} {numbers[key]:.4g}"
                for key in ("dice", "tre_mm", "sdlogj", "ndv_percent", "seconds")
                if key in numbers
            )
            print(f"{method.name:20s} {pair.name}  {shown}", flush=True)
    return records, failures


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--methods", default="none,greedy-tuned,optreg-default", metavar="A,B,...")
    parser.add_argument("--tasks", default="segmentation,landmarks", metavar="A,B,...")
    parser.add_argument("--hd95", action="store_true", help="also HD95 (slow)")
    parser.add_argument(
        "--drop-fields", action="store_true", help="remove fields once they are judged"
    )
    add_settings(parser)
    args = parser.parse_args(argv)
    try:
        wanted = wanted_methods(args.methods, args.set)
        for method in wanted:
            method.python(args.envs)
        tasks = read_tasks(args.data, args.tasks.split(","))
    except (ValueError, OSError, OptregError) as error:
        parser.exit(2, f"error: {error}\n")
    tasks = {task: pairs[: args.pairs] for task, pairs in tasks.items()}
    everything = [pair for pairs in tasks.values() for pair in pairs]
    records, failures = collect(wanted, everything, args, hd95=args.hd95)
    write_tables(args.output, tasks, records, failures)
    return SOME_FAILED if failures else 0


def write_tables(
    output: Path,
    tasks: dict[str, list[Pair]],
    records: tables.Records,
    failures: dict[str, dict[str, str]],
) -> None:
    """``table.json`` and ``table.md`` in the output folder, for each task: means, what failed,
    differences to `REFERENCE`, Dice by contrast.
    """
    content, text = {}, []
    for task, pairs in tasks.items():
        names = {pair.name for pair in pairs}
        own = {m: {p: n for p, n in found.items() if p in names} for m, found in records.items()}
        failed = {
            m: {p: e for p, e in found.items() if p in names} for m, found in failures.items()
        }
        common = tables.common_pairs(own)
        summary = tables.summarize(own, common)
        against = effects.differences(own, common, REFERENCE)
        content[task] = {
            "pairs": common,
            "of": len(names),
            "methods": summary,
            "failed": failed,
            f"against {REFERENCE}": against,
        }
        heading = f"## {task}: {len(common)} of {len(names)} pairs"
        text.append(f"{heading}\n\n{tables.markdown(summary)}")
        text.append(tables.failures(failed, len(names)))
        text.append(effects.markdown(against, REFERENCE, len(common)))
        contrasts = tables.by_contrast(records, sorted(names))
        if contrasts:
            text.append(f"## {task}, by contrast\n\n{contrasts}")
    output.mkdir(parents=True, exist_ok=True)
    process.write_text(output / "table.json", json.dumps(content, indent=1))
    shown = "\n".join(part for part in text if part)
    process.write_text(output / "table.md", shown)
    print("\n" + shown)


if __name__ == "__main__":
    sys.exit(main())
