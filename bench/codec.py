"""OpenFlow messages of flows: how many a second are decoded and encoded, in processor time."""

import time

from ofproto.codec import messages
from ofproto.codec.instructions import parse_instructions
from ofproto.codec.match_text import parse_match

FLOW = (
    "tcp,in_port=3,dl_vlan=7,dl_src=02:00:00:00:00:01,nw_src=10.0.0.0/8,nw_dst=10.1.2.3,tp_dst=80"
)
ACTIONS = "set_field:02:00:00:00:00:07->eth_dst,dec_ttl,output:2"
REPEATS, ROUNDS, FLOWS, DUMPS = 15, 1000, 100, 20
FORMS = (("1.0", 1, {}), ("1.0 NXM", 1, {"nxm": True}), ("1.3", 4, {}))


def per_second(function, rounds: int = ROUNDS) -> float:
    """Calls in a second, the best of several repeats."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        for _ in range(rounds):
            function()
        best = min(best, (time.process_time() - start) / rounds)
    return 1 / best


def rates(version: int, form: dict):
    """Yields (what, how many a second)."""
    match, instructions = parse_match(FLOW), parse_instructions(ACTIONS)
    mod = messages.FlowMod(match=match, table_id=0, instructions=instructions)
    flows = [messages.FlowStats(match, instructions=instructions)] * FLOWS

    def dump():
        return list(messages.multipart(messages.FlowStatsReply, flows, version, 1, **form))

    raw, (reply,) = mod.encode(version, **form), dump()
    yield "FLOW_MOD decoded", per_second(lambda: messages.decode(raw))
    yield "encoded", per_second(lambda: mod.encode(version, **form))
    yield "flows of a dump encoded", FLOWS * per_second(dump, DUMPS)
    yield "decoded", FLOWS * per_second(lambda: messages.decode(reply), DUMPS)


def main(_words: list[str]) -> None:
    for name, version, form in FORMS:
        found = (f"{what} {rate:,.0f}/s" for what, rate in rates(version, form))
        print(f"{name}: {', '.join(found)}")
