"""Every parameter of a registration, in frozen and validated dataclasses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optreg import settings
from optreg.errors import ConfigError

__all__ = [
    "PRESETS",
    "ContinuousConfig",
    "DiscreteConfig",
    "PreprocessConfig",
    "RegistrationConfig",
    "RepairConfig",
]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class PreprocessConfig:
    """Intensities and region of interest.

    Attributes
    ----------
    percentile : float
        Foreground intensities above this percentile are clipped.
    margin_vox : int
        Kept around the union of the foregrounds.
    sharpness : float
        Contrast of the soft tissue classes: distance of the two most similar class centres in
        standard deviations of a class.
    """

    percentile: float = 99.0
    margin_vox: int = 4
    sharpness: float = 5.0

    def __post_init__(self) -> None:
        _require(50 < self.percentile <= 100, "preprocess.percentile: must be in (50, 100]")
        _require(self.margin_vox >= 2, "preprocess.margin_vox: must be at least 2")
        _require(0 < self.sharpness <= 100, "preprocess.sharpness: must be in (0, 100]")


@dataclass(frozen=True)
class DiscreteConfig:
    """Coupled convex search that gives capture range.

    Attributes
    ----------
    enabled : {"auto", "on", "off"}
        "auto" searches where the foregrounds hardly overlap: affinely aligned images gain nothing
        from it.
    grid_vox : int
        Spacing of the control grid.
    radius : int
        Half width of the search window, in grid steps.
    couplings : tuple of float
        One round each: weight of the distance to the smoothed field.
    mind_radius, mind_dilation : int
        Of the MIND features.
    """

    enabled: str = "auto"
    grid_vox: int = 4
    radius: int = 4
    couplings: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
    mind_radius: int = 1
    mind_dilation: int = 2

    def __post_init__(self) -> None:
        _require(self.enabled in ("auto", "on", "off"), "discrete.enabled: must be auto, on or off")
        for name in ("radius", "mind_radius", "mind_dilation"):
            _require(1 <= getattr(self, name) <= 16, f"discrete.{name}: must be in 1 to 16")
        _require(self.grid_vox in (1, 2, 4, 8), "discrete.grid_vox: must be 1, 2, 4 or 8")
        _require(min(self.couplings, default=0) > 0, "discrete.couplings: must be positive numbers")


_COARSEST = 4
"""Voxels in one of the coarsest fields."""
_ROUGH_ITERATIONS = 10
"""Of a level, at least, in a rough registration."""
_MOST_ITERATIONS = 100_000
_FAST_REFINING = 3
"""Iterations of a refinement with "fast"; eight, as in "default", gain next to nothing more."""


@dataclass(frozen=True)
class ContinuousConfig:
    """Diffeomorphic refinement; tuples hold one entry per level, coarse to fine.

    Attributes
    ----------
    finest : {1, 2, 4}
        Down-sampling of the last level against the images.
    iterations : tuple of int
        Steps per level; each level has half the resolution of the next.
    one_sided_finest : bool
        Warp only the moving image on the last level; on all others both go to a midpoint.
    step_vox : tuple of float
        Longest step of a field, in voxels of the level; at most 1.
    step_decay : tuple of float
        Share of the step that is lost, linearly, over the iterations of the level.
    step_tau : float
        Force, in units of its root mean square, at which a step has 0.7 of that length.
    step_floor : float
        Smallest scale of the forces: where `step_tau` times their root mean square is less, the
        images agree and steps shrink with the force. Pairs of two people are above it throughout.
    force_sigma_vox, field_sigma_vox : tuple of float
        Gaussian smoothing of the force (fluid) and of the field (diffusion) in each iteration.
    volume_weight : tuple of float
        Strength of the regularization of log J in each iteration.
    radius_vox : tuple of int
        Window of the local correlation.
    window_stride : tuple of int
        Only every so many windows along x and y count; they overlap, so two lose little.
    eps : float
        Product of variances under which a window counts as flat.
    tissue_correlation : tuple of float
        Weight of the correlation of the middle tissue map beside that of the intensities; between
        two contrasts, the largest counts on all levels.
    tissue_difference : tuple of float
        Weight of the squared difference of both tissue maps; between two contrasts, it counts on
        the last level only.
    structure_weight : tuple of float
        Weight of the squared difference of MIND-SSC features (Heinrich et al. 2013, doi
        10.1007/978-3-642-40811-3_24), which aligns weak borders deep in the brain.
    structure_iterations : tuple of int
        How many of the last iterations of a level have that term.
    """

    finest: int = 1
    iterations: tuple[int, ...] = (100, 36, 8)
    one_sided_finest: bool = True
    step_vox: tuple[float, ...] = (0.12, 0.22, 0.75)
    step_decay: tuple[float, ...] = (0.0, 0.0, 0.85)
    step_tau: float = 1.5
    step_floor: float = 0.2
    force_sigma_vox: tuple[float, ...] = (1.73, 1.73, 0.9)
    field_sigma_vox: tuple[float, ...] = (0.6, 0.5, 0.45)
    volume_weight: tuple[float, ...] = (0.2, 0.2, 0.18)
    radius_vox: tuple[int, ...] = (2, 2, 2)
    window_stride: tuple[int, ...] = (1, 2, 2)
    eps: float = 1e-6
    tissue_correlation: tuple[float, ...] = (1.0, 1.0, 0.0)
    tissue_difference: tuple[float, ...] = (0.0, 2.0, 2.0)
    structure_weight: tuple[float, ...] = (0.0, 2.4, 1.2)
    structure_iterations: tuple[int, ...] = (0, 8, 0)

    def finest_level(self) -> ContinuousConfig:
        """The last level alone, with one field: what goes on from a field that is there."""
        last: dict[str, Any] = {k: v[-1:] for k, v in vars(self).items() if isinstance(v, tuple)}
        return dataclasses.replace(self, one_sided_finest=True, **last)

    def rough(self) -> ContinuousConfig | None:
        """All levels but the last, with fewer iterations; None where there is no other."""
        if len(self.iterations) < 2 or 2 * self.finest > _COARSEST:
            return None
        left: dict[str, Any] = {k: v[:-1] for k, v in vars(self).items() if isinstance(v, tuple)}
        left["iterations"] = tuple(
            min(count, max(-(-count // 3), _ROUGH_ITERATIONS)) for count in self.iterations[:-1]
        )
        return dataclasses.replace(self, finest=2 * self.finest, **left)

    def __post_init__(self) -> None:
        _require(self.finest in (1, 2, _COARSEST), "continuous.finest: must be 1, 2 or 4")
        levels = len(self.iterations)
        _require(1 <= levels <= 6, "continuous.iterations: needs 1 to 6 levels")
        for name in (
            "step_vox", "step_decay", "force_sigma_vox", "field_sigma_vox", "volume_weight",
            "radius_vox", "window_stride", "tissue_correlation", "tissue_difference",
            "structure_weight", "structure_iterations",
        ):  # fmt: skip
            _require(
                len(getattr(self, name)) == levels,
                f"continuous.{name}: needs {levels} entries, one for each of iterations",
            )
        _require(
            0 <= min(self.iterations) and max(self.iterations) <= _MOST_ITERATIONS,
            f"continuous.iterations: must be in 0 to {_MOST_ITERATIONS}",
        )
        _require(0 < min(self.step_vox), "continuous.step_vox: must be positive")
        _require(max(self.step_vox) <= 1, "continuous.step_vox: must be at most 1")
        decay, radius, weight = self.step_decay, self.radius_vox, self.volume_weight
        _require(0 <= min(decay) and max(decay) < 1, "continuous.step_decay: must be in [0, 1)")
        for name in ("force_sigma_vox", "field_sigma_vox"):
            low, high = min(getattr(self, name)), max(getattr(self, name))
            _require(0 < low and high <= 100, f"continuous.{name}: must be in (0, 100]")
        _require(
            0 <= min(weight) and max(weight) < 0.6, "continuous.volume_weight: must be in [0, 0.6)"
        )
        _require(1 <= min(radius) and max(radius) <= 8, "continuous.radius_vox: must be in 1 to 8")
        _require(
            all(1 <= s <= r for s, r in zip(self.window_stride, radius, strict=True)),
            "continuous.window_stride: must be in 1 to radius_vox",
        )
        for name in ("step_tau", "step_floor", "eps"):
            _require(getattr(self, name) > 0, f"continuous.{name}: must be positive")
        for name in (
            "tissue_correlation", "tissue_difference", "structure_weight", "structure_iterations",
        ):  # fmt: skip
            _require(min(getattr(self, name)) >= 0, f"continuous.{name}: must not be negative")


@dataclass(frozen=True)
class RepairConfig:
    """Removal of folds from the exported fields.

    Attributes
    ----------
    threshold : float
        Every one of the ten finite-difference determinants ends above this.
    max_rounds : int
        Rounds of local smoothing before the whole field is smoothed.
    largest_error_vox : float
        Smooth once where ``inverse(forward(x))`` misses x by more; 0 does not.
    tighten_rounds : int
        How often the inverse is corrected so that it is one between its voxels as well.
    """

    threshold: float = 0.02
    max_rounds: int = 200
    largest_error_vox: float = 0.4
    tighten_rounds: int = 1

    def __post_init__(self) -> None:
        _require(0 < self.threshold < 1, "repair.threshold: must be in (0, 1)")
        _require(
            0 <= self.largest_error_vox <= 1000, "repair.largest_error_vox: must be in [0, 1000]"
        )
        _require(self.max_rounds >= 1, "repair.max_rounds: must be at least 1")
        _require(self.tighten_rounds >= 0, "repair.tighten_rounds: must not be negative")


@dataclass(frozen=True)
class RegistrationConfig:
    """All parameters: of the images, of the search, of the refinement, of the removal of folds.

    Attributes
    ----------
    similarity : {"auto", "lncc", "tissue", "mind"}
        "lncc": local correlation of intensities and of tissue maps (one contrast). "tissue": the
        same of what the moving intensities say about those of the fixed image: first by matching
        classes, then learnt from a rough alignment (two contrasts). "mind": squared difference of
        MIND features (any two images). "auto": "lncc" where the intensities correlate over the
        whole image, else "tissue".
    preprocess : PreprocessConfig
    discrete : DiscreteConfig
    continuous : ContinuousConfig
    repair : RepairConfig
    """

    similarity: str = "auto"
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    discrete: DiscreteConfig = field(default_factory=DiscreteConfig)
    continuous: ContinuousConfig = field(default_factory=ContinuousConfig)
    repair: RepairConfig = field(default_factory=RepairConfig)

    def __post_init__(self) -> None:
        _require(
            self.similarity in ("auto", "lncc", "tissue", "mind"),
            f"similarity: '{self.similarity}' is unknown; use auto, lncc, tissue or mind",
        )
        for part in (PreprocessConfig, DiscreteConfig, ContinuousConfig, RepairConfig):
            name = part.__name__.removesuffix("Config").lower()
            needed = f"{name}: a {part.__name__} is needed; only from_dict takes dicts"
            _require(isinstance(getattr(self, name), part), needed)

    def refinement(self) -> RegistrationConfig:
        """These settings for a start that is close: no search, the finest level alone.

        The one long step of "fast" would make it rougher: a few steps of "default" refine it.
        """
        discrete = dataclasses.replace(self.discrete, enabled="off")
        continuous = self.continuous.finest_level()
        if self.continuous == PRESETS["fast"].continuous:
            usual = PRESETS["default"].continuous.finest_level()
            continuous = dataclasses.replace(usual, iterations=(_FAST_REFINING,))
        return dataclasses.replace(self, discrete=discrete, continuous=continuous)

    @classmethod
    def preset(cls, name: str) -> RegistrationConfig:
        """Configuration "fast", "default" or "accurate".

        Raises
        ------
        ConfigError
            Unknown name.
        """
        if not isinstance(name, str) or name not in PRESETS:
            raise ConfigError(f"preset '{name}' is unknown; use {', '.join(PRESETS)}")
        return PRESETS[name]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RegistrationConfig:
        """Configuration from nested dicts; what is missing keeps its default.

        A key ``preset`` says which preset the other entries change.

        Raises
        ------
        ConfigError
            Unknown key, wrong type, value out of range.
        """
        values = dict(values)
        return settings.updated(cls.preset(values.pop("preset", "default")), values)

    @classmethod
    def from_toml(cls, path: str | Path) -> RegistrationConfig:
        """Configuration from a TOML file with the layout of `to_toml`."""
        values = settings.read_toml(path)
        try:
            return cls.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Nested dicts of plain values."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """Text that `from_toml` reads back to an equal configuration."""
        return settings.to_toml(self.to_dict())


PRESETS = {
    "fast": RegistrationConfig(
        continuous=ContinuousConfig(
            iterations=(20, 10, 1),
            step_vox=(0.25, 0.3, 0.9),
            step_tau=1.0,
            force_sigma_vox=(1.73, 1.73, 1.2),
            field_sigma_vox=(0.6, 0.55, 0.5),
            tissue_difference=(0.0, 0.0, 2.0),
            structure_iterations=(0, 0, 0),
        ),
        repair=RepairConfig(largest_error_vox=0.0, tighten_rounds=0),
    ),
    "default": RegistrationConfig(),
    "accurate": RegistrationConfig(continuous=ContinuousConfig(iterations=(100, 72, 16))),
}
