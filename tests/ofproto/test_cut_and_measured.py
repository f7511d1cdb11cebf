"""Truncated output, check_pkt_larger, debug_recirc and debug_slow: through a real datapath."""

from datapath.actions.text import odp_text
from ofproto.codec import messages as m
from ofproto.text import flow_text
from tests.ofproto.bridge_world import flow, frame


def sizes(world, port, n):
    """Lengths of the next `n` frames that leave by a port."""
    got = []
    world.until(lambda: got.extend(world.received(port)) or len(got) >= n, f"{n} frames at {port}")
    return [len(data) for data in got]


def actions(world):
    found = [odp_text.format_actions(each.actions) for each in world.backer.dpif.flow_dump()]
    for text, each in zip(found, world.backer.dpif.flow_dump(), strict=True):
        assert odp_text.parse_actions(text) == each.actions
    return found


def test_one_output_is_cut(world):
    client = world.client()
    cut = "output(port=2,max_len=64)"
    client.do(flow(f"in_port=1 actions={cut},output:2,output(port=3,max_len=999)"))
    world.send(1, frame(200))
    assert sizes(world, 2, 2) == [64, 200] and sizes(world, 3, 1) == [200]
    assert actions(world) == ["trunc(64),2,2,trunc(999),3"]
    # What goes nowhere cuts nothing that follows.
    client.do(flow(f"in_port=2 actions=output(port=77,max_len=64),{cut},output:3"))
    world.send(2, frame(201))
    assert sizes(world, 3, 1) == [201]


def test_the_length_decides(world):
    """Behind the check all goes on in both cases, the callers' actions and the action set, too."""
    world.client().do(
        flow("table=0,in_port=1 actions=resubmit(,1),output:3"),
        flow("table=1 actions=check_pkt_larger(150)->NXM_NX_REG0[0],resubmit(,2)"),
        flow("table=2,reg0=1 actions=mod_dl_dst:02:00:00:00:00:77,output:2"),
        flow("table=2,reg0=0 actions=write_actions(output:2)"),
        flow("table=0,in_port=2 actions=clone(check_pkt_larger(150)->NXM_NX_REG0[3],"
             "output:NXM_NX_REG0[]),output:1"),
    )  # fmt: skip
    for size in (151, 150, 300):
        world.send(1, frame(size))
    assert sizes(world, 3, 3) == [151, 150, 300] and sizes(world, 2, 3) == [151, 150, 300]
    assert actions(world) == [
        "check_pkt_len(size=150,gt(set(eth(dst=02:00:00:00:00:77)),2,3),le(3,2))"
    ]
    world.send(2, frame(100))
    assert sizes(world, 1, 1) == [100]


def test_each_check_doubles_the_work(world):
    """A list of checks ends under a name, and not the daemon."""
    checks = ",".join(f"check_pkt_larger({size})->NXM_NX_REG0[0]" for size in range(100, 160))
    client = world.client()
    client.do(flow(f"in_port=1 actions={checks},output:2"), flow("in_port=3 actions=output:2"))
    world.send(1, frame(120))
    world.send(3, frame(121))
    assert sizes(world, 2, 1) == [121]


def test_round_and_slow(world):
    client = world.client()
    client.do(
        flow("in_port=1 actions=set_field:9->reg1,debug_recirc,output:2"),
        flow("in_port=3 actions=sample(probability=5,collector_set_id=2),debug_slow,output:2"),
    )
    world.send(1, frame(90))
    assert sizes(world, 2, 1) == [90]
    for size in (91, 92, 93):
        world.send(3, frame(size))
        assert sizes(world, 2, 1) == [size]
    assert "userspace(pid=0,slow_path(action))" in actions(world)
    # What the slow path sent is the datapath flow's, and counts once.
    reply = client.ask(flow_text.parse_flow_request(""))
    assert isinstance(reply, m.FlowStatsReply)
    assert {each.match.get("in_port")[0]: each.n_packets for each in reply.flows} == {
        0: 0,
        1: 1,
        3: 3,
    }
