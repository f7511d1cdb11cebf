"""The demo: three containers on one switch, and everything a new user asks first.

Every command that is shown can be typed as it stands in the shell that `make demo
SHELL_AFTER=1` leaves.  Each step checks what it shows; the demo fails loudly when the switch
does not do what the text says.
"""

import os
import re
import signal
import subprocess
import sys
import time

from demo import lab
from demo.lab import LabError, quiet, wait_for

CONTAINERS = {"c1": "10.0.0.1", "c2": "10.0.0.2", "c3": "10.0.0.3"}
PYTHON = "python"
CONTROLLER = "PYVS_DEMO_CONTROLLER"  # its command, for the process inside the namespaces


def start_switch(terminal: lab.Terminal) -> None:
    terminal.title("Start the three daemons, make a bridge")
    terminal.run("pyvs-ctl start")
    terminal.run("pyvs-vsctl add-br br0")
    terminal.run("ip addr add 10.0.0.254/24 dev br0 && ip link set br0 up")


def attach_containers(terminal: lab.Terminal) -> None:
    terminal.title("Three containers: network namespaces, each with a veth on the bridge")
    for name, address in CONTAINERS.items():
        terminal.run(
            f"ip netns add {name} && ip link add veth-{name} type veth peer name eth0 netns {name}"
            f" && ip link set veth-{name} up && ip -n {name} link set lo up"
            f" && ip -n {name} addr add {address}/24 dev eth0 && ip -n {name} link set eth0 up"
        )
        tag = " tag=20" if name == "c3" else ""
        terminal.run(f"pyvs-vsctl add-port br0 veth-{name}{tag}")
    terminal.run("pyvs-vsctl show")


def ping(terminal: lab.Terminal) -> None:
    terminal.title("Ping: container to container, and container to host")
    terminal.run("ip netns exec c1 ping -c 5 -i 0.2 10.0.0.2")
    terminal.run("ip netns exec c1 ping -c 2 -i 0.2 -q 10.0.0.254")


def finish_transfer(terminal: lab.Terminal, receiver: subprocess.Popen, sent: str) -> None:
    """Compare what both ends say of the transfer; raise LabError when they differ."""
    received = receiver.communicate(timeout=30)[0].strip()
    last = sent.strip().splitlines()[-1]
    if received != last:
        raise LabError(f"sent {last}, received {received}")
    terminal.say(f"received: {received}")


def start_receiver(terminal: lab.Terminal, port: int) -> subprocess.Popen:
    receiver = terminal.start(
        f"ip netns exec c2 {PYTHON} -m demo.transfer receive {port}",
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for("the receiver", lambda: f":{port}" in (quiet("ip netns exec c2 ss -ltn") or ""))
    return receiver


def tcp(terminal: lab.Terminal) -> None:
    terminal.title("TCP with the containers' offloads left on: no ethtool, it just works")
    receiver = start_receiver(terminal, 5001)
    sent = terminal.run(f"ip netns exec c1 {PYTHON} -m demo.transfer send 10.0.0.2 5001 2")
    finish_transfer(terminal, receiver, sent)


def isolation(terminal: lab.Terminal) -> None:
    terminal.title("c3 is in VLAN 20: it cannot be reached from the others")
    terminal.run("ip netns exec c1 ping -c 2 -i 0.2 -W 1 -q 10.0.0.3", fails=True)
    terminal.run("pyvs-appctl fdb/show br0")


def openflow(terminal: lab.Terminal) -> None:
    terminal.title("An OpenFlow rule that drops c1's pings, its counters, the datapath's flows")
    terminal.run("pyvs-ofctl add-flow br0 priority=100,icmp,nw_src=10.0.0.1,actions=drop")
    terminal.run("ip netns exec c1 ping -c 3 -i 0.2 -W 1 -q 10.0.0.2", fails=True)
    flow = r"n_packets=[1-9]\d*.*icmp,nw_src=10.0.0.1"
    wait_for("the counters", lambda: re.search(flow, quiet("pyvs-ofctl dump-flows br0") or ""))
    terminal.run("pyvs-ofctl dump-flows br0")
    terminal.run("pyvs-dpctl --names dump-flows | grep ipv4")
    terminal.run("pyvs-appctl ofproto/trace br0 in_port=veth-c1,icmp,nw_src=10.0.0.1")
    terminal.run("pyvs-ofctl del-flows br0 icmp,nw_src=10.0.0.1")
    terminal.run("ip netns exec c1 ping -c 2 -i 0.2 -q 10.0.0.2")


def controller(terminal: lab.Terminal) -> None:
    terminal.title("A controller takes over: a learning switch on os-ken, OpenFlow 1.3")
    manager = os.environ.get(CONTROLLER)
    if not manager:
        terminal.say("skipped: os-ken cannot be installed here")
        return
    terminal.show("PYTHONPATH=demo os-ken --ofp-tcp-listen-port=6653 learning_switch &")
    with subprocess.Popen(
        [manager, "--ofp-tcp-listen-port=6653", "learning_switch"],
        env={**os.environ, "PYTHONPATH": str(lab.ROOT / "demo")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            with_controller(terminal)
        finally:
            process.kill()


def install_controller() -> None:
    """Before the private namespaces are entered: there is no network inside."""
    install = subprocess.run(
        [str(lab.ROOT / ".ci" / "controllers"), "os-ken"], text=True, capture_output=True
    )
    os.environ[CONTROLLER] = install.stdout.strip() if install.returncode == 0 else ""


def with_controller(terminal: lab.Terminal) -> None:
    terminal.run("pyvs-vsctl set-fail-mode br0 secure")
    terminal.run("pyvs-ofctl del-flows br0")
    terminal.run("pyvs-vsctl set-controller br0 tcp:127.0.0.1:6653")
    wait_for(
        "the controller's table-miss flow",
        lambda: "CONTROLLER" in (quiet("pyvs-ofctl dump-flows br0") or ""),
    )
    terminal.run("ip netns exec c1 ping -c 3 -i 0.2 10.0.0.2")
    terminal.run("pyvs-ofctl dump-flows br0")
    terminal.run("pyvs-vsctl del-controller br0 -- set-fail-mode br0 standalone")
    terminal.run("pyvs-ofctl del-flows br0 && pyvs-ofctl add-flow br0 priority=0,actions=NORMAL")
    terminal.run("ip netns exec c1 ping -c 2 -i 0.2 -q 10.0.0.2")


def vswitchd_pid() -> int:
    return int((quiet("cat /run/pyvs/pyvs-vswitchd.pid") or "0").split()[0])


def answering() -> bool:
    return quiet("pyvs-appctl -T 2 version") is not None


def crash(terminal: lab.Terminal) -> None:
    terminal.title("Kill vswitchd with SIGKILL under a running TCP transfer")
    before = quiet("pyvs-vsctl -f csv --columns=name,ofport list interface")
    flows = quiet("pyvs-ofctl --no-stats dump-flows br0")
    receiver = start_receiver(terminal, 5002)
    sender = terminal.start(
        f"ip netns exec c1 {PYTHON} -u -m demo.transfer send 10.0.0.2 5002 6",
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(2)
    pid = vswitchd_pid()
    terminal.show("kill -9 $(cat /run/pyvs/pyvs-vswitchd.pid)")
    os.kill(pid, signal.SIGKILL)
    wait_for("vswitchd's return", lambda: vswitchd_pid() not in (0, pid) and answering())
    terminal.say(f"vswitchd was {pid}; its monitor started it again as {vswitchd_pid()}")
    sent = sender.communicate(timeout=60)[0]
    for line in sent.splitlines():
        print(f"  {line}")
    finish_transfer(terminal, receiver, sent)
    stalled = [line for line in sent.splitlines() if re.search(r" 0\.00 Gbit/s", line)]
    if stalled:
        raise LabError(f"the transfer stood still: {stalled}")
    terminal.say("every byte arrived; ports keep their numbers and the flows are there:")
    terminal.run("pyvs-vsctl -f csv --columns=name,ofport list interface")
    terminal.run("pyvs-ofctl --no-stats dump-flows br0")
    if before != quiet("pyvs-vsctl -f csv --columns=name,ofport list interface"):
        raise LabError(f"the interfaces were {before}")
    if flows != quiet("pyvs-ofctl --no-stats dump-flows br0"):
        raise LabError(f"the flows were {flows}")


STEPS = (start_switch, attach_containers, ping, tcp, isolation, openflow, controller, crash)


def main() -> int:
    terminal = lab.Terminal()
    try:
        if not lab.inside():
            install_controller()
        lab.enter([sys.executable, "-m", "demo", *sys.argv[1:]])
        for step in STEPS:
            step(terminal)
        terminal.title("Done: the demo leaves nothing behind")
    except LabError as error:
        print(f"\ndemo: {error}", file=sys.stderr, flush=True)
        subprocess.run("tail -n 20 /run/pyvs/*.log", shell=True, stdout=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if "--shell-after" in sys.argv and lab.inside():
            lab.leave_shell(terminal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
