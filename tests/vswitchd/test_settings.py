"""What columns of a bridge mean."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from vswitchd.database import settings
from vswitchd.database.config import BridgeConfig

EMPTY = BridgeConfig(UUID(int=0x1234), "br0", "", (), None, (), {}, (), ())


def bridge(**other_config):
    options = {name.replace("_", "-"): value for name, value in other_config.items()}
    return EMPTY._replace(other_config=options)


def test_mac_of_a_bridge():
    assert settings.bridge_mac(EMPTY) == "02:00:00:00:12:34"
    assert settings.bridge_mac(bridge(hwaddr="0A:00:00:00:00:1F")) == "0a:00:00:00:00:1f"
    # Not an address of one station: as if it were not given.
    for bad in ("01:00:00:00:00:01", "00:00:00:00:00:00", "0a:00", "x", "0a:00:00:00:00:100"):
        assert settings.bridge_mac(bridge(hwaddr=bad)) == "02:00:00:00:12:34"


@given(st.uuids())
def test_made_up_macs_are_local_unicast(uuid):
    first = int(settings.bridge_mac(EMPTY._replace(uuid=uuid))[:2], 16)
    assert first & 3 == 2


@given(st.text(max_size=20))
def test_any_text_is_a_mac_or_none(text):
    mac = settings.parse_mac(text)
    assert mac is None or len(mac) == 17


def test_datapath_id():
    def dpid(text):
        return settings.datapath_id(bridge(datapath_id=text), "02:00:00:00:12:34")

    assert dpid("00000000000000ab") == 0xAB
    assert dpid("0xab") == 0xAB
    for bad in ("ab", "0", "0x0", "0000000000000000", "x" * 16, "0x" + "1" * 17):
        assert dpid(bad) == 0x020000001234


def test_integers_are_clamped():
    assert settings.integer({"a": "7"}, "a", 1, 5, 10) == 7
    assert settings.integer({"a": "70"}, "a", 1, 5, 10) == 10
    assert settings.integer({"a": "x"}, "a", 1, 5, 10) == 1
    assert settings.integer({}, "a", 6, 5, 10) == 6
