"""Read many damaged files: ``python tests/fuzz/run.py --count 10000 --seed 0``.

Files of every format are damaged at random and read in processes with limits of time and memory.
A reader may give a result that is finite and whole, or an error of one line that names the file.
All else is printed, and the file is kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from fuzz_workers import Outcome, Pool, content_of


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="number of files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one file of that seed")
    parser.add_argument("--like", default="*", metavar="PATTERN", help="files of such names")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="time that a file may take")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), metavar="DIR")
    args = parser.parse_args()
    numbers = range(args.count) if args.only is None else [args.only]
    seen: Counter[str] = Counter()
    slowest = 0.0
    start = time.perf_counter()
    with Pool(args.processes, args.seed, args.seconds, args.like) as pool:
        for outcome in pool.run(numbers):
            seen[outcome.verdict] += 1
            slowest = max(slowest, outcome.seconds)
            if not outcome.is_sound:
                _keep(outcome, pool, args.keep)
            if seen.total() % 1000 == 0:
                _say(f"{seen.total()} files, {time.perf_counter() - start:.0f} s")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(seen.items()))
    _say(f"seed {args.seed}: {counts}; {time.perf_counter() - start:.0f} s, "
         f"the slowest {slowest:.1f} s")  # fmt: skip
    return int(not seen.keys() <= {"read", "refused"})


def _keep(outcome: Outcome, pool: Pool, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{pool.seed}-{outcome.number}-{outcome.file}"
    path.write_bytes(content_of(pool.folder / "sound", outcome.file, pool.seed, outcome.number))
    _say(f"{outcome.verdict}: {path}")
    _say("  " + outcome.detail.strip().replace("\n", "\n  "))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
