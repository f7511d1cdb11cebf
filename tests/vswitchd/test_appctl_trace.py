"""ofproto/trace's options that say something of the packet's payload."""

import pytest

from pyvs.process.daemon import CommandError
from vswitchd.appctl import trace


def test_the_payload_is_checked_and_left_out():
    words = ["br0", "in_port=1", "-generate"]
    assert trace._without_payload(["--l7-len", "0", *words]) == words
    assert trace._without_payload([*words[:2], "--l7", "01aB", words[2]]) == words
    for wrong in (["--l7-len"], ["--l7-len", "-1"], ["--l7", "abc"], ["--l7-len", "123456"]):
        with pytest.raises(CommandError):
            trace._without_payload([*words, *wrong])
