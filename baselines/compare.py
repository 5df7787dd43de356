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

import methods
import process
import tables
from dataset import Pair, read_tasks
from judge import judge
from methods import Method
from optreg.errors import OptregError
from optreg.io import load_image
from setup_env import DEFAULT_FOLDER

SOME_FAILED = 5


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that `compare` and `curve` share."""
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
    parser.add_argument("--pairs", type=int, metavar="N", help="only the first N of each task")


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
        numbers = json.loads(done.read_text())
        if not hd95 or "vanished_labels" in numbers:
            return numbers
    fields, run = _fields(method, pair, stem, args)
    numbers = judge(pair, fields.disp, fields.inverse, hd95=hd95)
    for key in ("seconds", "process_seconds", "peak_memory_mb"):
        if key in run:
            numbers[key] = run[key]
    stem.parent.mkdir(parents=True, exist_ok=True)
    process.write_text(done, json.dumps(numbers, indent=1))
    if args.drop_fields:
        for suffix in (".npy", ".inverse.npy"):
            process.beside(stem, suffix).unlink(missing_ok=True)
    return numbers


def _fields(
    method: Method, pair: Pair, stem: Path, args: argparse.Namespace
) -> tuple[process.Fields, dict[str, Any]]:
    if not method.script:
        return process.Fields(np.zeros((3, *load_image(pair.images.fixed).shape), np.float32)), {}
    forward, inverse, record = (
        process.beside(stem, suffix) for suffix in (".npy", ".inverse.npy", ".run.json")
    )
    if forward.exists() and record.exists():
        run = json.loads(record.read_text())
        if run["settings"] != method.settings:
            raise RuntimeError(f"{stem.parent} was made with other settings; remove it")
    else:
        run = process.call(
            method.python(args.envs),
            method.script,
            (pair.images.fixed, pair.images.moving),
            stem,
            threads=args.threads,
            settings=method.settings,
        )
    backward = np.load(inverse) if inverse.exists() else None
    return process.Fields(np.load(forward), backward), run


def collect(
    wanted: Iterable[Method], pairs: Iterable[Pair], args: argparse.Namespace, **options: Any
) -> tuple[dict[str, dict[str, dict[str, Any]]], list[str]]:
    """Numbers by method and pair, and a sentence for everything that failed."""
    records: dict[str, dict[str, dict[str, Any]]] = {}
    failures = []
    pairs = list({pair.name: pair for pair in pairs}.values())
    for method in wanted:
        records[method.name] = {}
        for pair in pairs:
            try:
                numbers = result(method, pair, args, **options)
            except (RuntimeError, OSError, OptregError) as error:
                failures.append(f"{method.name} {pair.name}: {error}")
                print("error:", failures[-1], file=sys.stderr)
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
    args = parser.parse_args(argv)
    try:
        wanted = [methods.named(name) for name in args.methods.split(",")]
        for method in wanted:
            method.python(args.envs)
        tasks = read_tasks(args.data, args.tasks.split(","))
    except (ValueError, OSError, OptregError) as error:
        parser.exit(2, f"error: {error}\n")
    tasks = {task: pairs[: args.pairs] for task, pairs in tasks.items()}
    everything = [pair for pairs in tasks.values() for pair in pairs]
    records, failures = collect(wanted, everything, args, hd95=args.hd95)
    write_tables(args.output, tasks, records)
    return SOME_FAILED if failures else 0


def write_tables(
    output: Path, tasks: dict[str, list[Pair]], records: dict[str, dict[str, dict[str, Any]]]
) -> None:
    """``table.json`` and ``table.md`` in the output folder: tables per task and by contrast."""
    content, text = {}, []
    for task, pairs in tasks.items():
        names = {pair.name for pair in pairs}
        own = {m: {p: n for p, n in found.items() if p in names} for m, found in records.items()}
        common = tables.common_pairs(own)
        summary = tables.summarize(own, common)
        content[task] = {"pairs": common, "of": len(names), "methods": summary}
        text.append(f"## {task}: {len(common)} of {len(names)} pairs\n\n{tables.markdown(summary)}")
        contrasts = tables.by_contrast(records, sorted(names))
        if contrasts:
            text.append(f"## {task}, by contrast\n\n{contrasts}")
    output.mkdir(parents=True, exist_ok=True)
    process.write_text(output / "table.json", json.dumps(content, indent=1))
    process.write_text(output / "table.md", "\n".join(text))
    print("\n" + "\n".join(text))


if __name__ == "__main__":
    sys.exit(main())
