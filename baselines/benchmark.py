"""Where the time of a registration goes on this machine, and how far it is from the least.

``python baselines/benchmark.py --data DATA --preset default --threads 2 --output OUT``
``python baselines/benchmark.py --data DATA --device cuda --voxel-mm 0.6 --output OUT``

Printed and written to ``OUT/benchmark.md`` and ``.json``: seconds per stage; per level the time of
an iteration beside its floor, the bytes that it has to move over the measured copy bandwidth of the
device (of the same threads, on the CPU); peak memory. Compilation is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import process
import tables
from dataset import Pair, read_task
from optreg import Grid, Image, Registration, RegistrationConfig, register, warm_up
from optreg.continuous import bytes_per_iteration, plan
from optreg.errors import OptregError
from optreg.inputs import Inputs
from optreg.io import load_image
from optreg.kernels import Backend, get_backend
from optreg.prepare import prepare
from optreg.transform import DisplacementField

_BLOCK_BYTES = 1 << 28  # far above any cache
_COPIES = 20  # so many that starting them takes no time beside them
_CHANNELS = {"mind": 12}  # the other similarities have the intensities and two tissue maps


def copy_bandwidth(backend: Backend, threads: int, repeats: int = 5) -> float:
    """Bytes per second that a device, or so many threads, read and write when they copy memory.

    One byte copied counts as two moved, as in `bytes_per_iteration`; the best of the repeats.
    """
    if backend.name == "cpu":
        return _cpu_bandwidth(threads, repeats)
    with backend.active():
        source = backend.xp.ones(_BLOCK_BYTES // 4, backend.xp.float32)
        target = backend.xp.zeros_like(source)
        best = np.inf
        for _ in range(repeats):
            backend.synchronize()
            start = time.perf_counter()
            for _ in range(_COPIES):
                target[...] = source
            backend.synchronize()
            best = min(best, (time.perf_counter() - start) / _COPIES)
    return 2 * _BLOCK_BYTES / best


def _cpu_bandwidth(threads: int, repeats: int) -> float:
    source = np.ones(_BLOCK_BYTES // 4, np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))
    best = np.inf
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            start = time.perf_counter()
            list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))
            best = min(best, time.perf_counter() - start)
    return 2 * _BLOCK_BYTES / best


def timed(
    fixed: Image, moving: Image, config: RegistrationConfig, backend: Backend, threads: int
) -> tuple[Registration, dict[int, list[float]]]:
    """A registration and the seconds of its iterations by level (down-sampling factor).

    The progress report comes once after each iteration, so its times are those of iterations. The
    first one of a level includes what the level allocates.
    """
    ticks: list[tuple[str, float]] = [("", time.perf_counter())]

    def tick(stage: str, _: float) -> None:
        backend.synchronize()
        ticks.append((stage, time.perf_counter()))

    options: dict[str, Any] = {"config": config, "threads": threads, "device": backend.name}
    result = register(fixed, moving, progress=tick, **options)
    first = next(i for i, (stage, _) in enumerate(ticks) if stage == "refine")
    seconds = np.diff([tick for _, tick in ticks[first - 1 :]])
    levels: dict[int, list[float]] = {}
    if sum(stage == "refine" for stage, _ in ticks) < len(result.history):
        raise RuntimeError("there is no progress report for each iteration; times would be wrong")
    for entry, value in zip(result.history, seconds, strict=False):
        factor = entry["level"] * config.continuous.finest
        levels.setdefault(factor, []).append(float(value))
    return result, levels


def cropped_voxels(fixed: Image, moving: Image, config: RegistrationConfig) -> int:
    """Voxels of the box that is registered, at full resolution."""
    volumes = prepare(Inputs((fixed,), (moving,)), None, config, get_backend("cpu"))
    return int(np.prod(volumes.box.shape))


def resampled(image: Image, voxel_mm: float) -> Image:
    """Image with cubic voxels of another size, over the same field of view."""
    shape = tuple(
        round(n * s / voxel_mm) for n, s in zip(image.shape, image.grid.spacing, strict=True)
    )
    affine = image.grid.affine.copy()
    affine[:3, :3] *= voxel_mm / np.linalg.norm(affine[:3, :3], axis=0)
    fine = Grid(shape, affine)
    return DisplacementField.identity(fine, image.grid).apply(image, "linear")


def device_name(backend: Backend) -> str:
    """The device in words."""
    if backend.name != "cpu":
        from optreg.kernels.gpu.device import describe

        return describe(int(backend.name.partition(":")[2])).partition(",")[0]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def measure(
    pair: Pair, preset: str, device: str, threads: int, repeats: int, voxel_mm: float | None
) -> dict[str, Any]:
    """All numbers of the benchmark; times are medians over the repeats."""
    config, backend = RegistrationConfig.preset(preset), get_backend(device)
    warm_up(config, threads=threads, device=backend.name)
    start = time.perf_counter()
    fixed, moving = load_image(pair.images.fixed), load_image(pair.images.moving)
    reading = time.perf_counter() - start
    if voxel_mm is not None:
        fixed, moving = resampled(fixed, voxel_mm), resampled(moving, voxel_mm)
    options: dict[str, Any] = {"config": config, "threads": threads, "device": backend.name}
    # Undisturbed ones for the stages: on a GPU, waiting for each iteration costs time.
    whole = [register(fixed, moving, **options).timings for _ in range(repeats)]
    runs = [timed(fixed, moving, config, backend, threads) for _ in range(repeats)]
    peak = backend.peak_bytes() / 2**20  # before the copies below add to it
    bandwidth = copy_bandwidth(backend, threads)
    voxels = cropped_voxels(fixed, moving, config)
    similarity = runs[0][0].similarity
    terms = plan([similarity], [_CHANNELS.get(similarity, 3)], config.continuous)
    levels = []
    for factor, term in zip(runs[0][1], terms, strict=True):
        # Median over iterations, so that one disturbance or a level's first one does not count.
        each = float(np.median([np.median(found[factor]) for _, found in runs]))
        one_sided = config.continuous.one_sided_finest and factor == config.continuous.finest
        fields = 1 if one_sided else 2
        moved = bytes_per_iteration(voxels // factor**3, term.channels, term.passes, fields)
        levels.append(
            {
                "factor": factor,
                "voxels": voxels // factor**3,
                "iterations": len(runs[0][1][factor]),
                "seconds": float(np.median([sum(found[factor]) for _, found in runs])),
                "iteration_ms": 1e3 * each,
                "megabytes": moved / 1e6,
                "floor_ms": 1e3 * moved / bandwidth,
            }
        )
    stages = {key: float(np.median([timings[key] for timings in whole])) for key in whole[0]}
    return {
        "device": device_name(backend),
        "pair": pair.name,
        "shape": fixed.shape,
        "preset": preset,
        "threads": threads,
        "repeats": repeats,
        "reading_s": reading,
        "stages_s": stages,
        "cropped_voxels": voxels,
        "levels": levels,
        "copy_bandwidth_gb_s": bandwidth / 1e9,
        "peak_memory_mb": peak,
    }


def markdown(numbers: dict[str, Any]) -> str:
    """The report of `measure`."""
    shape = "x".join(map(str, numbers["shape"]))
    share = numbers["cropped_voxels"] / np.prod(numbers["shape"])
    stages = [["stage", "seconds"], ["(reading both files)", f"{numbers['reading_s']:.2f}"]]
    stages += [[name, f"{value:.2f}"] for name, value in numbers["stages_s"].items()]
    levels = [
        ["resolution", "voxels", "iterations", "seconds", "ms each", "MB each", "floor ms", "ratio"]
    ]
    levels += [
        [
            f"1/{level['factor']}",
            f"{level['voxels']}",
            f"{level['iterations']}",
            f"{level['seconds']:.2f}",
            f"{level['iteration_ms']:.1f}",
            f"{level['megabytes']:.0f}",
            f"{level['floor_ms']:.1f}",
            f"{level['iteration_ms'] / level['floor_ms']:.1f}",
        ]
        for level in numbers["levels"]
    ]
    return (
        f"Preset {numbers['preset']}, pair {numbers['pair']} of {shape} voxels, of which "
        f"{share:.0%} are registered. {numbers['device']}, {numbers['threads']} CPU threads, "
        f"median of {numbers['repeats']} runs.\n"
        f"Copying memory: {numbers['copy_bandwidth_gb_s']:.1f} GB/s. Peak memory: "
        f"{numbers['peak_memory_mb']:.0f} MB.\n\n{tables.table(stages)}\n{tables.table(levels)}"
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("OPTREG_DATA"),
        required="OPTREG_DATA" not in os.environ,
        help="folder in LUMIR layout (without: OPTREG_DATA)",
    )
    parser.add_argument("--task", default="segmentation", help="its first pair is registered")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--device", default="cpu", help="as for optreg (without: cpu)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--voxel-mm", type=float, metavar="MM", help="resample both images first")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, required=True, metavar="OUT")
    args = parser.parse_args(argv)
    try:
        pair = read_task(args.data, args.task)[0]
        numbers = measure(pair, args.preset, args.device, args.threads, args.repeats, args.voxel_mm)
    except OptregError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    text = markdown(numbers)
    args.output.mkdir(parents=True, exist_ok=True)
    process.write_text(args.output / "benchmark.json", json.dumps(numbers, indent=1))
    process.write_text(args.output / "benchmark.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
