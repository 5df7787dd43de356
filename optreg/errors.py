"""Every error that optreg raises on purpose.

The message of each is one sentence for the person at the terminal, ``FILE: what; hint`` where a
file is concerned. ``exit_code`` is what the command line returns for it, so that the mapping lives
in one place and a script can tell bad input (3) from a missing GPU (4).
"""


class OptregError(Exception):
    """Base of all errors raised on purpose; anything else that escapes is a bug."""

    exit_code = 1


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
