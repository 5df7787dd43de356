"""Numbers as text that every reader takes: JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optreg.errors import InputError
from optreg.io.files import check_readable

__all__ = ["csv_text", "json_text", "read_rows"]


def json_text(values: Any) -> str:
    """JSON of nested mappings and sequences: NaN and infinity become null, keys strings."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value

    return json.dumps(plain(values), indent=2, allow_nan=False) + "\n"


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with a header; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def read_rows(path: Path, needed: set[str]) -> list[dict[str, str]]:
    """Rows of a table with a header, whose cells are parted by commas, semicolons or tabs.

    Raises
    ------
    InputError
        It cannot be read, or lacks a column.
    """
    check_readable(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            parted_by = max(",;\t", key=header.count)  # the first of those where there is none
            rows = list(csv.DictReader(file, skipinitialspace=True, delimiter=parted_by))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no table ({error})") from error
    missing = sorted(needed - rows[0].keys()) if rows else []
    if missing:
        raise InputError(f"{path}: has no column {', '.join(missing)}")
    return rows
