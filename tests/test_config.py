"""Configurations: presets, TOML, validation."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from optreg.config import PRESETS, ContinuousConfig, RegistrationConfig
from optreg.errors import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_toml_round_trip(name, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(RegistrationConfig.preset(name).to_toml())
    assert RegistrationConfig.from_toml(path) == RegistrationConfig.preset(name)


def test_partial_toml_changes_a_preset(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('preset = "fast"\n[continuous]\neps = 2e-5\n[repair]\nmax_rounds = 9\n')
    config = RegistrationConfig.from_toml(path)
    assert config.continuous.eps == 2e-5 and config.repair.max_rounds == 9
    assert config.continuous.iterations == PRESETS["fast"].continuous.iterations


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RegistrationConfig().similarity = "mind"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("similarity = 3", "not a text"),
        ('similarity = "ncc"', "unknown"),
        ("[continuous]\niterations = [5, 5]", "entries"),
        ("[continuous]\niterations = [5.5, 5, 5]", "whole number"),
        ("[continuous]\neps = nan", "finite"),
        ("[continuous]\nfinest = 3", "finest"),
        ("[continuous]\nstep_vox = [2.0, 1.0, 1.0]", "at most 1"),
        ("[nonsense]\na = 1", "unknown parameter"),
        ("discrete = 4", "table"),
        ("[discrete]\ncouplings = 1.0", "list"),
        ("[discrete]\ngrid_vox = 3", "grid_vox"),
        ("[repair]\nthreshold = 0", "threshold"),
        ('preset = "best"', "preset"),
        ("preset = [1]", "preset"),
        ("[discrete]\nradius = 100000", "radius: must be in 1 to 16"),
        ("[discrete]\nmind_radius = 0", "mind_radius: must be in 1 to 16"),
        ("[continuous]\niterations = [1, 1, 9999999999999999999999]", "iterations: must be in"),
        ("[continuous]\nforce_sigma_vox = [1e12, 1.0, 1.0]", "force_sigma_vox"),
        ("[repair]\nlargest_error_vox = 1e300", "largest_error_vox"),
        (f"[continuous]\neps = 1{'0' * 400}", "eps: .* is not a finite number"),
        (f"[continuous]\neps = 1{'0' * 5000}", "not valid TOML|not a finite number"),
        (f"a = {'[' * 100_000}", "not valid TOML"),
        ("= 3", "not valid TOML"),
    ],
)
def test_mistakes_are_named(text, message, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        RegistrationConfig.from_toml(path)
    assert "config.toml" in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        RegistrationConfig.from_toml(tmp_path / "none.toml")


def test_levels_must_agree():
    with pytest.raises(ConfigError, match="radius_vox"):
        ContinuousConfig(radius_vox=(2, 2))


def test_rough_settings_leave_out_the_last_level():
    whole = ContinuousConfig()
    rough = whole.rough()
    assert rough.finest == 2 * whole.finest and rough.radius_vox == whole.radius_vox[:-1]
    assert whole.iterations == (100, 36, 8) and rough.iterations == (34, 12)
    assert dataclasses.replace(whole, iterations=(20, 6, 1)).rough().iterations == (10, 6)
    assert whole.finest_level().rough() is None
    assert dataclasses.replace(whole, finest=4).rough() is None


def test_refinement_is_the_finest_level_alone():
    for name in ("default", "accurate"):
        whole = RegistrationConfig.preset(name)
        last = whole.refinement()
        assert last.discrete.enabled == "off" and last.continuous == whole.continuous.finest_level()
        assert last.refinement().continuous == last.continuous
    changed = {"preset": "fast", "continuous": {"iterations": [20, 10, 2]}}
    own = RegistrationConfig.from_dict(changed)
    assert own.refinement().continuous == own.continuous.finest_level()
    fast, usual = (RegistrationConfig.preset(n).refinement() for n in ("fast", "default"))
    assert 1 < fast.continuous.iterations[0] < usual.continuous.iterations[0]
    assert replace(fast.continuous, iterations=usual.continuous.iterations) == usual.continuous


@pytest.mark.parametrize("part", ["preprocess", "discrete", "continuous", "repair"])
def test_parts_are_no_dicts(part):
    with pytest.raises(ConfigError, match=rf"{part}: a \w+Config is needed; only from_dict takes"):
        RegistrationConfig(**{part: {}})
