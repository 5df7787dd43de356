"""Every error that optreg raises on purpose.

The message of each is one sentence for the person at the terminal, ``FILE: what; hint`` where a
file is concerned. ``exit_code`` is what the command line returns for it, so that the mapping lives
in one place and a script can tell bad input (3) from a missing GPU (4).
"""

import re
import unicodedata

_LONGEST, _END = 800, 200


class OptregError(Exception):
    """Base of all errors raised on purpose; anything else that escapes is a bug.

    The message is made one line of bounded length that a terminal can show: it may quote a damaged
    file, or what a library said of one.
    """

    exit_code = 1

    def __init__(self, message: str = ""):
        super().__init__(_one_line(message))


class InputError(OptregError):
    """An image, field, label map, landmark table or data set that cannot be used."""

    exit_code = 3


class GeometryError(InputError):
    """An affine, grid or pair of grids that cannot be used."""


class ConfigError(OptregError):
    """A setting that does not exist or has an impossible value."""

    exit_code = 2


class DeviceError(OptregError):
    """A device that is missing, unusable or out of memory."""

    exit_code = 4


class DeviceMemoryError(DeviceError):
    """Not enough memory on a device."""


class OutputError(OptregError):
    """A result that cannot be written where it was asked for."""

    exit_code = 3


def _one_line(text: str) -> str:
    text = re.sub(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*", " ", text.strip())
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - _END]} ... {text[-_END:]}"
    # Control characters and halves of others, which could do anything to a terminal.
    return "".join("?" if unicodedata.category(c)[0] == "C" else c for c in text)
