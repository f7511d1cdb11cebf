"""What is asked of the datapath process about meters: a part of Dpif."""

from collections import namedtuple

from datapath.ipc.connection import Connection

# bands: [(rate, burst), ...]; packets and bytes that came; dropped: the same,
# by band.
MeterInfo = namedtuple("MeterInfo", "meter owner flags bands packets bytes dropped")


def _meter_info(body):
    bands, dropped = ([tuple(pair) for pair in body.pop(name)] for name in ("bands", "dropped"))
    return MeterInfo(bands=bands, dropped=dropped, **body)


class MeterRequests(Connection):
    def meter_features(self) -> dict[str, int]:
        """{"max_meters": ids are below it, "max_bands": n, "flags": OFPMF_* bits}."""
        return self._request("meter_features")[0]["features"]

    def meter_set(self, meter, flags, bands, owner=""):
        """Make or replace a meter, with counters of 0; bands: (rate, burst) of what it drops;
        `owner`: a text to find it by.  DpifError EINVAL."""
        self._request("meter_set", meter=meter, flags=flags, bands=bands, owner=owner)

    def meter_get(self, meter: int) -> MeterInfo:
        """MeterInfo; DpifError ENOENT when there is none."""
        return _meter_info(self._request("meter_get", meter=meter)[0]["meter"])

    def meter_del(self, meter: int) -> MeterInfo:
        """Returns the meter as it was at its end; DpifError ENOENT when there is none."""
        return _meter_info(self._request("meter_del", meter=meter)[0]["meter"])

    def meter_dump(self) -> list[MeterInfo]:
        """All meters by number."""
        meters, behind = [], -1
        while behind is not None:
            body = self._request("meter_dump", behind=behind)[0]
            meters += map(_meter_info, body["meters"])
            behind = body["behind"]
        return meters
