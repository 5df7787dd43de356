"""Nested dataclasses of plain values from and to TOML."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from optreg.errors import ConfigError

__all__ = ["read_toml", "to_toml", "updated"]


def read_toml(path: str | Path) -> dict[str, Any]:
    """Content of a TOML file.

    Raises
    ------
    ConfigError
        It cannot be read, or is no TOML.
    """
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # type: ignore[import-not-found, no-redef]
    try:
        with open(path, "rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # of wrong syntax, bytes, too long or deep
        raise ConfigError(f"{path}: not valid TOML ({error})") from error


def to_toml(values: dict[str, Any]) -> str:
    """TOML text of a dict of plain values and one level of tables."""
    tables = {k: v for k, v in values.items() if isinstance(v, dict)}
    lines = [f"{k} = {_text(v)}" for k, v in values.items() if k not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{k} = {_text(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def _text(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_text(v) for v in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def updated(config: Any, values: dict[str, Any], prefix: str = "") -> Any:
    """Copy of a dataclass with other values, each of the type of the one it replaces.

    Raises
    ------
    ConfigError
        Unknown key or wrong type; the message names it, tables as ``table.key``.
    """
    changes: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        if key not in {f.name for f in dataclasses.fields(config)}:
            raise ConfigError(f"{name}: unknown parameter")
        old = getattr(config, key)
        if dataclasses.is_dataclass(old):
            if not isinstance(value, dict):
                raise ConfigError(f"{name}: a table is needed")
            changes[key] = updated(old, value, name + ".")
        elif isinstance(old, tuple):
            if not isinstance(value, (list, tuple)):
                raise ConfigError(f"{name}: a list is needed")
            changes[key] = tuple(_number(v, old[0], name) for v in value)
        elif isinstance(old, bool):
            if not isinstance(value, bool):
                raise ConfigError(f"{name}: {value!r} is neither true nor false")
            changes[key] = value
        elif isinstance(old, str):
            if not isinstance(value, str):
                raise ConfigError(f"{name}: {value!r} is not a text")
            changes[key] = value
        else:
            changes[key] = _number(value, old, name)
    return dataclasses.replace(config, **changes)


def _number(value: Any, like: Any, name: str) -> Any:
    """The value with the type of the default it replaces."""
    try:
        known = isinstance(value, (int, float)) and not isinstance(value, bool)
        finite = known and math.isfinite(value)
    except OverflowError:  # a whole number beyond all of float
        finite = False
    if not finite:
        raise ConfigError(f"{name}: {value!r} is not a finite number")
    if isinstance(like, int) and value != int(value):
        raise ConfigError(f"{name}: {value!r} is not a whole number")
    return type(like)(value)
