"""Lines of files that others name are read as they are asked for."""

import tracemalloc

import pytest

from pyvs.named_files import LONGEST, lines_of


def test_lines(tmp_path):
    path = tmp_path / "lines"
    longest = "c" * LONGEST
    path.write_bytes(b"a\n\r\nb\xff\r\n%b\nlast" % longest.encode())
    assert list(lines_of(str(path), 1 << 20)) == ["a", "", "b\ufffd", longest, "last"]


@pytest.mark.parametrize("line", ["#" * (LONGEST + 1), "a command" + " " * LONGEST + "more"])
def test_no_part_of_a_long_line_is_a_line(tmp_path, line):
    """It would be taken for a command."""
    path = tmp_path / "lines"
    path.write_text(f"first\n{line} a command\n")
    lines = lines_of(str(path), 1 << 20)
    assert next(lines) == "first"
    with pytest.raises(OSError, match="too large"):
        next(lines)


def test_no_part_of_a_line_that_grows(tmp_path):
    path = tmp_path / "lines"
    path.write_text("ab\ncd")
    lines = lines_of(str(path), 5)
    assert next(lines) == "ab"
    with path.open("a") as file:
        file.write("ef\n")
    with pytest.raises(OSError, match="too large"):
        next(lines)


def test_what_is_not_read(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"ab\n")
    assert list(lines_of(str(path), 3)) == ["ab"]
    for wrong, most in ((path, 2), (tmp_path, 9), (tmp_path / "none", 9), ("/dev/zero", 9)):
        with pytest.raises(OSError):
            next(lines_of(str(wrong), most))


def test_a_large_file_is_not_in_memory(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"line\n" * (1 << 20))
    tracemalloc.start()
    lines = lines_of(str(path), 64 << 20)
    assert next(lines) == "line"
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
