"""A bridge's other_config:hwaddr that cannot be had."""

from types import SimpleNamespace
from uuid import UUID

import pytest

from vswitchd.devices import local_mac


@pytest.mark.parametrize(
    "text, told",
    [
        ("00:00:00:00:00:00", "zero"),
        ("01:00:5e:00:00:01", "multicast address 01:00:5e:00:00:01"),
        ("x", None),
    ],
)
def test_is_told_of_once(monkeypatch, text, told):
    lines = []
    monkeypatch.setattr(local_mac, "vlog", SimpleNamespace(warn=lines.append))
    config = SimpleNamespace(other_config={"hwaddr": text}, uuid=UUID(int=7), mirrors=())
    mac = local_mac.LocalMac("br0")
    assert mac.choose(config, ()) == mac.choose(config, ()) != text
    assert lines == ([f"bridge br0: cannot set MAC address to {told}"] if told else [])
