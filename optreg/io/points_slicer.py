"""Point lists of 3D Slicer: .mrk.json, and .fcsv, which is its older format.

Both state whether their millimetres are LPS or RAS. Slicer writes LPS since version 5, and wrote
RAS, as the number 0, into .fcsv before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.errors import InputError
from optreg.io.points_csv import PointTable, finite, text_rows
from optreg.io.tables import csv_text, json_text
from optreg.transform.itk import LPS

__all__ = ["fcsv_of", "markups_of", "read_fcsv", "read_markups"]

_log = logging.getLogger("optreg")

_SYSTEMS = {"RAS": np.ones(3), "LPS": LPS, "0": np.ones(3), "1": LPS}
_COLUMNS = ("id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label", "desc",
            "associatedNodeID")  # fmt: skip
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)


def read_fcsv(path: Path) -> PointTable:
    """Read a .fcsv file.

    Raises
    ------
    InputError
        No text, no known coordinate system, or naming the line: a value that is no finite number.
    """
    header, body = {}, []
    for line, row in text_rows(path, ","):
        if row[0].startswith("#"):
            key, _, value = ",".join(row).lstrip("# ").partition("=")
            header[key.strip().lower()] = value.strip()
        else:
            body.append((line, row))
    flip = _flip(header.get("coordinatesystem"), path)
    stated = header.get("columns", ",".join(_COLUMNS))
    columns = [word.strip() for word in stated.split(",")]
    if not {"x", "y", "z"} <= set(columns):
        raise InputError(f"{path}: has no columns x, y, z; save the points again")
    if not body:
        raise InputError(f"{path}: holds no points; save them again")
    picked = [columns.index(axis) for axis in "xyz"]
    labelled = columns.index("label") if "label" in columns else None
    names, points = [], []
    for number, (line, row) in enumerate(body, 1):
        if len(row) <= max(picked):
            raise InputError(f"{path}: line {line}: {len(row)} cells are too few")
        points.append(finite([row[i] for i in picked], f"{path}: line {line}"))
        label = row[labelled] if labelled is not None and labelled < len(row) else ""
        names.append(label or str(number))
    places = tuple(f"line {line}" for line, _ in body)
    return PointTable(tuple(names), None, np.array(points) * flip, places)


def read_markups(path: Path) -> PointTable:
    """Read the points of all lists in a .mrk.json file; those not placed yet are left out.

    Raises
    ------
    InputError
        Not JSON, not of Slicer, no known coordinate system, or naming the point: a position that
        is not three finite numbers.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as err:
        raise InputError(f"{path}: is no JSON file ({err}); save the points again") from err
    lists = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(lists, list) or not all(isinstance(one, dict) for one in lists):
        raise InputError(f"{path}: holds no markups of Slicer; save the points again")
    names: list[str] = []
    points: list[NDArray[np.float64]] = []
    places: list[str] = []
    for one in lists:
        for point in _control_points(one, path):
            place = f"point {len(places) + 1}"
            position = point.get("position")
            if not isinstance(position, list) or len(position) != 3:
                raise InputError(f"{path}: {place}: has no position of three numbers")
            flip = _flip(one.get("coordinateSystem", "LPS"), path)
            points.append(np.array(finite(position, f"{path}: {place}")) * flip)
            names.append(str(point.get("label") or len(names) + 1))
            places.append(place)
    if not points:
        raise InputError(f"{path}: holds no points; save them again")
    return PointTable(tuple(names), None, np.array(points), tuple(places))


def fcsv_of(names: Sequence[str], mm: NDArray[np.float64]) -> str:
    """Content of a .fcsv file in LPS."""
    header = ["# Markups fiducial file version = 5.2", "# CoordinateSystem = LPS"]
    rows = [
        [number, *(repr(float(v)) for v in position), 0, 0, 0, 1, 1, 1, 0, name, "", ""]
        for number, (name, position) in enumerate(zip(names, mm * LPS, strict=True), 1)
    ]
    return "\n".join(header) + "\n" + csv_text(["# columns = id", *_COLUMNS[1:]], rows)


def markups_of(names: Sequence[str], mm: NDArray[np.float64]) -> str:
    """Content of a .mrk.json file in LPS."""
    points = [
        {"id": str(number), "label": name, "position": position.tolist(), "selected": True,
         "locked": False, "visibility": True, "positionStatus": "defined"}
        for number, (name, position) in enumerate(zip(names, mm * LPS, strict=True), 1)
    ]  # fmt: skip
    one = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "lastUsedControlPointNumber": len(points),
        "controlPoints": points,
    }
    return json_text({"@schema": _SCHEMA, "markups": [one]})


def _flip(system: Any, path: Path) -> NDArray[np.float64]:
    """What turns the coordinates of a file into RAS."""
    if str(system).upper() not in _SYSTEMS:
        what = "no coordinate system" if system is None else f"the coordinate system '{system}'"
        raise InputError(f"{path}: states {what}; save the points as LPS or RAS")
    return _SYSTEMS[str(system).upper()]


def _control_points(one: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Points of a list that have been placed."""
    unit = one.get("coordinateUnits", "mm")
    if unit not in ("mm", ["mm", "mm", "mm"]):
        raise InputError(f"{path}: states lengths in {unit}; save the points in mm")
    points = one.get("controlPoints", [])
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise InputError(f"{path}: its controlPoints are no list of points; save them again")
    placed = [p for p in points if p.get("positionStatus", "defined") == "defined"]
    if len(placed) < len(points):
        _log.warning("%s: %d points are not placed; left out", path, len(points) - len(placed))
    return placed
