"""What is printed of each sample message in each version that has it: as ovs-ofctl prints it."""

import difflib
import shutil

import pytest

from ofproto.codec import messages as m
from ofproto.codec.errors import OFError
from ofproto.text.message_text import Style, format_raw
from tests.ofproto.codec.ofctl_texts import printed
from tests.ofproto.codec_samples import SAMPLES

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("ovs-ofctl") is None, reason="Open vSwitch is not installed"),
]


def differs(message):
    """What we have and Open vSwitch has not."""
    if isinstance(message, m.PacketIn | m.Resume):
        packet_in = getattr(message, "packet_in", message)
        # It reads in its own continuations, and knows no physical ports.
        return packet_in.continuation is not None or packet_in.match.get("in_phy_port")[1] != 0
    return False


def raws():
    for message, _versions, keywords in SAMPLES:
        for version in range(1, 7):
            try:
                raw = message.encode(version, 0x1234, **(keywords if version == 1 else {}))
            except (ValueError, OFError):
                continue
            if not differs(message):
                yield raw


def test_what_is_printed(tmp_path):
    found = sorted(set(raws()))
    assert len(found) >= 700
    parts = printed(tmp_path, found)
    style = Style(more=2)
    for raw, theirs in zip(found, parts, strict=True):
        ours = format_raw(raw, style)
        assert ours == theirs, "\n".join(difflib.ndiff(theirs.splitlines(), ours.splitlines()))
