"""TLS contexts: certificates are read when they are other ones, not at each connection."""

import errno
import os
import ssl

import pytest

from pyvs.streams import tls
from pyvs.streams.tls_settings import TlsSettings
from tests.authority import Authority, needs_openssl

pytestmark = needs_openssl


@pytest.fixture
def settings(tmp_path):
    made = Authority(str(tmp_path)).settings("switch")
    assert isinstance(made, TlsSettings)
    return made


@pytest.mark.parametrize("server_side", [True, False])
def test_files_are_read_when_they_changed(settings, monkeypatch, server_side):
    read = []
    real = tls.new_context

    def counted(*arguments):
        read.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(tls, "new_context", counted)
    contexts = tls.Contexts(lambda: settings)
    first = contexts.get(server_side)
    assert all(contexts.get(server_side) is first for _ in range(10)) and len(read) == 1
    assert first.verify_mode == ssl.CERT_REQUIRED
    assert first.minimum_version == ssl.TLSVersion.TLSv1_2
    stamp = os.stat(settings.certificate)
    os.utime(settings.certificate, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert contexts.get(server_side) is not first and len(read) == 2


def test_what_is_wrong_is_told_each_time_and_found_once(settings, monkeypatch):
    with open(settings.private_key, "w") as file:
        file.write("no key")
    read = []
    monkeypatch.setattr(tls, "load_identity", _counting(read, tls.load_identity))
    contexts = tls.Contexts(lambda: settings)
    for _ in range(3):
        with pytest.raises(OSError) as caught:
            contexts.get(True)
        assert caught.value.errno == errno.EPROTO
    assert len(read) == 1
    settings.private_key = None
    with pytest.raises(ValueError, match="--private-key"):
        contexts.get(True)


def _counting(calls, function):
    def counted(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return counted


def test_a_key_with_a_password_does_not_ask_for_it(settings):
    """On the terminal, while the daemon stands still."""
    import subprocess

    locked = settings.private_key + ".locked"
    command = ["openssl", "ec", "-in", settings.private_key, "-aes128", "-passout", "pass:x"]
    subprocess.run([*command, "-out", locked], check=True, capture_output=True)
    settings.private_key = locked
    with pytest.raises(OSError):
        tls.Contexts(lambda: settings).get(True)
