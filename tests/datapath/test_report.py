"""What `pyvs-appctl -t pyvs-datapath` answers, of a process with a port and a flow."""

import pytest

from tests.datapath.dp_process import Process, frame
from tests.hostile.control import call


@pytest.fixture(scope="module")
def process():
    made = Process()
    one, _two = made.add("d1"), made.add("d2")
    made.flow(f"in_port({one})", "drop")
    made.dpif.port_inject(one, frame())
    made.dpif.sync()
    yield made
    made.close()


@pytest.mark.parametrize(
    "command, told",
    [
        ("dpctl/dump-dps", "netdev@"),
        ("dpctl/dump-flows", "packets:"),
        ("dpctl/show", "d1 (dummy)"),
        ("drops/show", "netdev@"),
        ("dpif-netdev/pmd-rxq-show", "d2"),
        ("worker/rxq-show", "d2"),
        ("dpif-netdev/pmd-stats-show", "0"),
        ("worker/stats-show", "0"),
        ("coverage/show", "drop_"),
    ],
)
def test_a_command(process, command, told):
    control = process.directory / f"pyvs-datapath.{process.pid}.ctl"
    assert told in call(str(control), command)
    assert "unexpected error" not in process.log()
