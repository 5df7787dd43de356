import pytest

from optreg import errors


# The table of the command line's exit codes; scripts rely on it.
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("OptregError", 1),
        ("ConfigError", 2),
        ("InputError", 3),
        ("GeometryError", 3),
        ("OutputError", 3),
        ("DeviceError", 4),
    ],
)
def test_exit_codes(name, code):
    error = getattr(errors, name)("FILE: what; hint")
    assert error.exit_code == code
    assert isinstance(error, errors.OptregError)
    assert str(error) == "FILE: what; hint"
