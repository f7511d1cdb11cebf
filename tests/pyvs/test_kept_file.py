"""What a daemon leaves for the next one: files that are there, torn, old, and none at all."""

import os
import socket
from pathlib import Path

import pytest

from pyvs import kept
from pyvs.kept import KeptFile

VALUES = {"a": {"b": [1, None, True]}}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "br0.protocols")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def make_dangling(path):
    os.symlink(path + ".nowhere", path)


OTHERS = (os.mkfifo, make_socket, make_dangling)


def test_what_was_written_is_read(path):
    file = KeptFile(path)
    file.write({"old": 1})
    file.write(VALUES)
    values, age = KeptFile(path).read()
    assert values == VALUES and 0 <= age < 60_000
    assert os.listdir(os.path.dirname(path)) == ["br0.protocols"]
    file.write({})
    assert KeptFile(path).read() is None and not os.path.exists(path)


def test_what_is_not_whole_or_ours_is_as_if_it_were_not_there(path, monkeypatch):
    KeptFile(path).write(VALUES)
    whole = Path(path).read_bytes()
    wrong = [whole[:n] for n in range(len(whole))] + [whole + b"x", b"\xff" * 40, b"\n" * 40]
    wrong += [whole.replace(b"pyvs-kept 1", b"pyvs-kept 2"), whole.replace(b"true", b"null")]
    for octets in wrong:
        Path(path).write_bytes(octets)
        assert KeptFile(path).read() is None, octets
    Path(path).write_bytes(whole)
    assert KeptFile(path).read() is not None
    monkeypatch.setattr(kept, "_boot_id", lambda: "another")
    assert KeptFile(path).read() is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", OTHERS)
def test_what_is_no_file_stops_nobody(path, make):
    make(path)
    make(path + ".new")
    file = KeptFile(path)
    assert file.read() is None
    file.write(VALUES)
    assert KeptFile(path).read()[0] == VALUES
    assert not os.path.exists(path + ".nowhere")
