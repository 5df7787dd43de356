"""The same search for every method, on pairs that the comparison does not judge.

``python baselines/tune.py --data DATA --output OUT --methods demons,greedy --pair 1113_1003``

Every method gets ``--budget`` settings of its space in `search_spaces`: the default first, then one
change at a time, kept if it is better. Better is a higher mean Dice among the settings whose folded
volume is at most ``--max-ndv`` percent. Registrations run as in `compare`, and are kept as there in
``OUT/METHOD@SETTING/``; written are ``OUT/tuning.md`` and ``OUT/tuning.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import compare
import methods
import process
import tables
from dataset import Pair
from optreg.errors import OptregError
from search_spaces import SPACES, Space
from tuning_pairs import cut, read_box, tuning_pairs

BUDGET = 5
# Generous on purpose: only what folds widely is refused. A tighter bound would choose smoother and
# less accurate settings of the others than their users may want, and so favour optreg, which does
# not fold.
MAX_NDV_PERCENT = 0.5
_NUMBERS = ("dice", "sdlogj", "ndv_percent", "folded_voxels", "seconds")


@dataclass(frozen=True)
class Trial:
    """One setting and what came of it.

    Attributes
    ----------
    settings : dict
        In addition to those of the method that the space starts from.
    why : str
    numbers : dict
        Means over the pairs, as `tables.summarize` has them; empty if a registration failed.
    failure : str
        What went wrong, else empty.
    """

    settings: dict[str, Any]
    why: str
    numbers: dict[str, dict[str, float]]
    failure: str = ""


Evaluate = Callable[[dict[str, Any]], tuple[dict[str, dict[str, float]], str]]
"""Settings -> `Trial.numbers`, `Trial.failure`."""


def combined(settings: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Settings with a change; of parameters in a dictionary only those that are named change."""
    result = {**settings, **change}
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(settings.get(key), dict):
            result[key] = {**settings[key], **value}
    return result


def best(trials: Sequence[Trial], max_ndv: float) -> Trial | None:
    """Highest Dice among those that fold at most so many percent of the volume; None for none."""
    allowed = [t for t in trials if t.numbers and t.numbers["ndv_percent"]["mean"] <= max_ndv]
    return max(allowed, key=lambda t: t.numbers["dice"]["mean"], default=None)


def search(space: Space, budget: int, evaluate: Evaluate, max_ndv: float) -> list[Trial]:
    """Try so many settings of a space; one that has been tried before is passed over.

    Raises
    ------
    ValueError
        The space has fewer settings than that.
    """
    trials: list[Trial] = []
    for number, candidate in enumerate((*space.starts, *space.moves)):
        if len(trials) == budget:
            break
        leader = best(trials, max_ndv) if number >= len(space.starts) else None
        settings = combined(leader.settings if leader else {}, candidate.settings)
        if all(settings != trial.settings for trial in trials):
            trials.append(Trial(settings, candidate.why, *evaluate(settings)))
    if len(trials) < budget:
        raise ValueError(f"'{space.base}' has {len(trials)} settings; give a smaller --budget")
    return trials


def registered(
    family: str, given: dict[str, Any], pairs: Sequence[Pair], args: argparse.Namespace
) -> Evaluate:
    """What `search` calls: settings of a method, registered and judged on all pairs."""

    def evaluate(settings: dict[str, Any]) -> tuple[dict[str, dict[str, float]], str]:
        named = json.dumps([settings, args.box], sort_keys=True)
        digest = hashlib.sha256(named.encode()).hexdigest()[:8]
        base = methods.named(SPACES[family].base, {**given, **settings})
        method = replace(base, name=f"{family}@{digest}")
        records, failures = compare.collect([method], pairs, args)
        failed = failures.get(method.name, {})
        if failed:
            return {}, next(iter(failed.values()))
        return tables.summarize(records, tables.common_pairs(records))[method.name], ""

    return evaluate


def shown(settings: dict[str, Any], base: str) -> str:
    """Settings in a cell of a table; the name of the method that they are added to for none."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update(value if isinstance(value, dict) else {key: value})
    parts = []
    for key, value in flat.items():
        values = value if isinstance(value, list | tuple) else [value]
        parts.append(f"{key} {', '.join(map(str, values))}")
    return "; ".join(parts) or f"`{base}`"


def markdown(found: dict[str, list[Trial]], max_ndv: float) -> str:
    """One table of all methods; its last column marks the best of each, or says what failed."""
    patterns = {key: (heading, pattern) for key, heading, pattern, _ in tables.COLUMNS}
    rows = [["method", "setting", *(patterns[key][0] for key in _NUMBERS), ""]]
    for family, trials in found.items():
        leader = best(trials, max_ndv)
        for trial in trials:
            cells = [
                patterns[key][1].format(trial.numbers[key]["mean"]) if key in trial.numbers else ""
                for key in _NUMBERS
            ]
            mark = "best" if trial is leader else trial.failure
            rows.append([family, shown(trial.settings, SPACES[family].base), *cells, mark])
    return tables.table([[cell.replace("|", "\\|") for cell in row] for row in rows])


def write(output: Path, found: dict[str, list[Trial]], names: Sequence[str], max_ndv: float) -> str:
    """``tuning.md`` and ``tuning.json`` in the output folder; returns the text of the first."""
    budget = max(len(trials) for trials in found.values())
    content = {
        "pairs": list(names),
        "budget": budget,
        "max_ndv_percent": max_ndv,
        "methods": {
            family: {
                "base": SPACES[family].base,
                "trials": [asdict(trial) for trial in trials],
                "best": leader.settings if (leader := best(trials, max_ndv)) else None,
            }
            for family, trials in found.items()
        },
    }
    text = (
        f"{budget} settings of each method on {', '.join(names)}; best: the highest Dice with at "
        f"most {max_ndv:g} % NDV.\n\n{markdown(found, max_ndv)}"
    )
    process.write_text(output / "tuning.json", json.dumps(content, indent=1))
    process.write_text(output / "tuning.md", text)
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    compare.add_options(parser, first=False)
    compare.add_settings(parser)
    parser.add_argument("--methods", default=",".join(SPACES), metavar="A,B,...")
    parser.add_argument("--budget", type=int, default=BUDGET, help="settings of each method")
    parser.add_argument(
        "--pair",
        action="append",
        required=True,
        metavar="FFFF_MMMM",
        help="fixed and moving person, not a pair of the evaluation; can be given several times",
    )
    parser.add_argument(
        "--box",
        metavar="X0:X1,Y0:Y1,Z0:Z1",
        help="register only these voxels of the images, to save time",
    )
    parser.add_argument(
        "--max-ndv", type=float, default=MAX_NDV_PERCENT, help="percent that may fold"
    )
    parser.add_argument("--keep-fields", dest="drop_fields", action="store_false")
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    found: dict[str, list[Trial]] = {}
    try:
        given = compare.given_settings(args.methods, args.set)
        unknown = sorted(given.keys() - SPACES.keys())
        if unknown:
            raise ValueError(f"nothing to search for {unknown[0]}; use {', '.join(SPACES)}")
        for family, own in given.items():
            methods.named(SPACES[family].base, own).python(args.envs)
        pairs = tuning_pairs(args.data, args.pair)
        if args.box:
            box = read_box(args.box)
            folder = args.output / "images" / args.box.replace(":", "-")
            pairs = [cut(pair, box, folder) for pair in pairs]
        args.output.mkdir(parents=True, exist_ok=True)
        for family, own in given.items():
            evaluate = registered(family, own, pairs, args)
            found[family] = search(SPACES[family], args.budget, evaluate, args.max_ndv)
            text = write(args.output, found, args.pair, args.max_ndv)
    except (ValueError, OSError, OptregError) as error:
        parser.exit(2, f"error: {error}\n")
    print("\n" + text)
    failed = any(trial.failure for trials in found.values() for trial in trials)
    return compare.SOME_FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
