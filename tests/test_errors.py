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


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a.nii: two\r\n  lines\n", "a.nii: two lines"),
        ("a  b.nii: \x1b[31mred\x00\ud800", "a  b.nii: ?[31mred??"),
        ("größer 大脑: ½ mm", "größer 大脑: ½ mm"),
    ],
)
def test_messages_are_one_line_that_a_terminal_can_show(said, shown):
    assert str(errors.InputError(said)) == shown


def test_long_messages_keep_both_ends():
    text = str(errors.InputError("a.json: " + "x" * 5000 + "; hint"))
    assert text.startswith("a.json: xx") and text.endswith("xx; hint") and len(text) < 900
