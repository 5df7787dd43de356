"""Dataclasses from and to TOML."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from optreg.errors import ConfigError
from optreg.settings import read_toml, to_toml, updated


@dataclass(frozen=True)
class Inner:
    on: bool = True
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    weight: float = 0.5
    inner: Inner = field(default_factory=Inner)


def test_round_trip(tmp_path):
    path = tmp_path / "a.toml"
    values = {"name": "b", "weight": 2, "inner": {"on": False, "sizes": [3]}}
    path.write_text(to_toml(values))
    assert read_toml(path) == values
    changed = updated(Outer(), read_toml(path))
    assert changed == Outer("b", 2.0, Inner(False, (3,)))
    assert isinstance(changed.weight, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nme": "b"}, "nme: unknown"),
        ({"inner": {"on": 1}}, "inner.on: 1 is neither true nor false"),
        ({"inner": {"sizes": 3}}, "inner.sizes: a list"),
        ({"inner": {"sizes": [1.5]}}, "inner.sizes: 1.5 is not a whole number"),
        ({"inner": 1}, "inner: a table"),
        ({"weight": True}, "weight: True is not a finite number"),
        ({"weight": float("nan")}, "weight: nan"),
        ({"weight": 10**400}, "is not a finite number"),
        ({"inner": {"sizes": [-(10**400)]}}, "is not a finite number"),
        ({"name": 3}, "name: 3 is not a text"),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        updated(Outer(), values)
