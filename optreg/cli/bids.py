"""Results put into a BIDS dataset of derivatives, beside those of other subjects."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from optreg import __version__
from optreg.errors import ConfigError, OutputError

__all__ = ["check_dataset", "registration_dataset", "staged_dataset"]

_DESCRIPTION = "dataset_description.json"


def check_dataset(root: Path, names: Mapping[str, str], overwrite: bool) -> None:
    """Raise the errors that can be known before the work is done.

    Parameters
    ----------
    root : Path
        Of the dataset; made where it is missing.
    names : mapping of str to str
        File as a command writes it -> path in the dataset.

    Raises
    ------
    ConfigError
        `root` is a dataset that is none of derivatives.
    OutputError
        A file is there without `overwrite`, or nothing can be written.
    """
    from optreg.io.files import make_folder

    make_folder(root)
    description = root / _DESCRIPTION
    if description.exists():
        try:
            kind = json.loads(description.read_text(encoding="utf-8")).get("DatasetType")
        except (OSError, ValueError, AttributeError):
            kind = None
        if kind != "derivative":
            raise ConfigError(
                f"{root}: is a BIDS dataset but none of derivatives; use a folder in derivatives/"
            )
    there = [root / path for path in names.values() if (root / path).exists()]
    if there and not overwrite:
        raise OutputError(f"{there[0]}: exists already; use another folder or --overwrite")


@contextmanager
def staged_dataset(
    root: Path,
    names: Mapping[str, str],
    overwrite: bool,
    describe: Callable[[str], dict[str, Any]],
    more: bool = False,
) -> Iterator[Path]:
    """Yield a hidden folder whose files get their places in a dataset if all goes well.

    Files without a name are dropped. The last of `names` is put in its place last: where it is,
    the rest is complete.

    Parameters
    ----------
    root, names, overwrite
        See `check_dataset`.
    describe : callable
        Content of the JSON file beside an image, from the name a command gave it.
    more : bool
        Whether to add to a result that is there.
    """
    from optreg.io.bids import dataset_description
    from optreg.io.files import make_folder, write_atomic
    from optreg.io.tables import json_text

    check_dataset(root, names, overwrite or more)
    staged = Path(tempfile.mkdtemp(prefix=".optreg.", dir=root))
    try:
        yield staged
        if not (root / _DESCRIPTION).exists():
            text = json_text(dataset_description(__version__))
            write_atomic(root / _DESCRIPTION, [text.encode()], overwrite=False)
        for name, path in names.items():
            target = root / path
            beside = None
            if name.endswith(".nii.gz"):
                beside = target.with_name(target.name.removesuffix(".nii.gz") + ".json")
            if not (staged / name).exists():
                if more:
                    continue
                for old in filter(None, (target, beside)):  # of an earlier run, now replaced
                    old.unlink(missing_ok=True)
                continue
            make_folder(target.parent)
            if beside is not None:
                write_atomic(beside, [json_text(describe(name)).encode()], overwrite=True)
            os.replace(staged / name, target)
    except OSError as err:
        raise OutputError(f"{root}: cannot be written ({err.strerror or err})") from err
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def registration_dataset(
    root: Path, fixed: str, moving: str, overwrite: bool
) -> Callable[..., AbstractContextManager[Path]]:
    """`staged_dataset` for what ``optreg register`` writes, checked as far as it can be now.

    It is called once, and again with ``more=True``.
    """
    from optreg.io.bids import registration_names, sidecar, transform_sidecar

    names = registration_names(fixed, moving)
    check_dataset(root, names, overwrite)
    image = sidecar(moving, fixed, root)
    transforms = {
        "disp_itk.nii.gz": transform_sidecar(moving, fixed, root),
        "inverse_itk.nii.gz": transform_sidecar(fixed, moving, root),
    }
    return partial(staged_dataset, root, names, overwrite, lambda name: transforms.get(name, image))
