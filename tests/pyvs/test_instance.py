"""The lock of a daemon: which files it may be."""

import os

import pytest

from pyvs.process import instance


@pytest.fixture
def pidfile(tmp_path):
    return str(tmp_path / "d.pid")


def test_one_has_it_at_a_time(pidfile):
    assert instance.head(pidfile) is None
    lock = instance.take(pidfile)
    lock.tell(os.getpid())
    assert instance.take(pidfile) is None and instance.head(pidfile) == os.getpid()
    lock.close()
    assert instance.head(pidfile) is None


def test_another_file_by_its_name_is_left_alone(pidfile, tmp_path):
    """By whoever may write in the directory: it would be given to them, and emptied."""
    other = tmp_path / "other"
    other.write_text("text")
    other.chmod(0o640)
    before = other.stat()
    for link in (os.link, os.symlink):
        link(other, instance.lock_path(pidfile))
        with pytest.raises(OSError, match=r"own|symbolic"):
            instance.take(pidfile)
        os.unlink(instance.lock_path(pidfile))
    after = other.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    assert other.read_text() == "text"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_keeps_nobody_waiting(pidfile, make):
    make(instance.lock_path(pidfile))
    with pytest.raises(OSError):
        instance.take(pidfile)
    assert not instance.head(pidfile)
