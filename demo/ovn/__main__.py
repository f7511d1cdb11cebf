"""OVN's demo: three hosts, each with a pyvs that ovn-controller drives, and one OVN central.

It shows each command; what is `on PLACE ...` runs at that place.  Each step checks what it shows,
and the demo fails loudly when the network does not do what the text says.
"""

import os
import re
import subprocess
import sys
import time

from demo import lab
from demo.lab import LabError, wait_for
from demo.ovn import network as net
from demo.ovn import places
from demo.ovn.network import MACHINES, Network


class Shell(lab.Terminal):
    """A terminal that also runs what need not be seen."""

    def quiet(self, command: str) -> str:
        """Its output.  Raises LabError when it fails."""
        done = subprocess.run(command, shell=True, text=True, capture_output=True)
        if done.returncode:
            raise LabError(f"`{command}` exited with {done.returncode}: {done.stderr}")
        return done.stdout


def address(name: str) -> str:
    return MACHINES[name][2]


def answers(place: str, to: str) -> bool:
    return lab.quiet(f"on {place} ping -n -q -c 1 -W 1 {to}") is not None


def start(shell: Shell, network: Network) -> None:
    shell.title("The central place: two databases, served by pyvs, and OVN's northd")
    network.central.start()
    shell.title("Three hosts: pyvs under Open vSwitch's names, and ovn-controller as it is")
    network.add_hosts()
    network.hosts["h1"].run("ovs-vsctl show")


def connect(shell: Shell, network: Network) -> None:
    shell.title("Two logical switches, a distributed router, four machines on two hosts")
    network.add_machines()
    for to in ("vm2", "vm3", "vm4"):
        network.machines["vm1"].run(f"ping -n -q -c 3 -i 0.2 {address(to)}")


def refuse(shell: Shell, network: Network) -> None:
    shell.title("Security groups: vm4 takes pings and port 8080; answers pass by themselves")
    network.central.nbctl(net.RULES)
    network.central.sync()
    for port in (8080, 8081):
        network.serve("vm4", port)
    network.ask("vm1", address("vm4"), 8080)
    network.ask("vm1", address("vm4"), 8081, fails=True)
    shell.title("Port security: vm2 may not send by an address that is not its own")
    vm2 = network.machines["vm2"]
    vm2.run("ip addr add 10.0.1.77/24 dev eth0")
    vm2.run(f"ping -n -q -c 2 -i 0.2 -W 1 -I 10.0.1.77 {address('vm1')}", fails=True)


def balance(shell: Shell, network: Network) -> None:
    shell.title("A load balancer before vm2 and vm4")
    network.serve("vm2", 8080)
    network.central.nbctl(net.BALANCER)
    network.central.sync()
    said = {network.ask("vm3", net.VIP, 80) for _ in range(12)}
    if said != {"vm2", "vm4"}:
        raise LabError(f"only {said} answered")


def name(shell: Shell, network: Network) -> None:
    shell.title("DHCP and DNS, which ovn-controller answers for packets that pyvs sends it")
    net.leases("vm1", network.central)
    network.central.sync()
    if address("vm1") not in network.lease("vm1"):
        raise LabError("vm1 did not get its address")
    answer = network.machines["vm1"].run(f"busybox nslookup -type=a vm4.lab {MACHINES['vm1'][3]}")
    if address("vm4") not in answer:
        raise LabError("no such name")


def leave(shell: Shell, network: Network) -> None:
    shell.title("The world outside: SNAT and a floating address, by h2 as the gateway")
    network.add_world()
    wait_for("the gateway", lambda: answers("vm3", net.WORLD), 30)
    network.machines["vm3"].run(f"ping -n -q -c 3 -i 0.2 {net.WORLD}")
    network.world.run(f"ping -n -q -c 3 -i 0.2 {net.FLOATING}")
    network.hosts["h1"].run("ovs-appctl bfd/show | grep -E '^---|Forwarding|State'")


def pinging(network: Network, seconds: int) -> subprocess.Popen:
    command = f"on vm1 ping -n -q -i 0.1 -w {seconds} {address('vm2')}"
    return network.shell.start(command, stdout=subprocess.PIPE, text=True)


def lost(ping: subprocess.Popen) -> int:
    """Pings without answer.  The last one may have been under way at the end."""
    said = ping.communicate(timeout=60)[0]
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) rec", said).groups())
    print(f"  {said.strip().splitlines()[-2]}")
    return sent - received - 1


def crash(shell: Shell, network: Network) -> None:
    shell.title("Kill ovn-controller and vswitchd of h1 under pings to another host")
    complained = network.complaints()
    if complained:
        raise LabError("\n".join(complained))
    shell.say("until now no OpenFlow error, no warning and no reconnection in any log")
    h1 = network.hosts["h1"]
    ping = pinging(network, 8)
    time.sleep(1)
    for daemon in ("ovn-controller", "ovs-vswitchd"):
        shell.show(f"on h1 kill -9 {daemon}")
        h1.kill(daemon)
    h1.start_controller()
    if lost(ping) > 0:
        raise LabError("pings were lost")
    network.central.sync()


def fail_over(shell: Shell, network: Network) -> None:
    shell.title("The gateway h2 is cut off: BFD tells, and h3 takes over")
    shell.run("ip link set h2-eth0 down")
    wait_for("the other gateway", lambda: answers("world", net.FLOATING), 30)
    network.world.run(f"ping -n -q -c 5 -i 0.2 {net.FLOATING}")
    network.central.run("ovn-sbctl show")


STEPS = (start, connect, refuse, balance, name, leave, crash, fail_over)


def show(encap: str) -> None:
    os.environ["PATH"] += f":{places.LAB}/tools"
    shell = Shell()
    places.furnish(shell)
    network = Network(shell, encap)
    for step in STEPS:
        step(shell, network)
    shell.title("Done: the demo leaves nothing behind")


def main() -> int:
    absent = places.missing()
    if absent:
        print(f"demo: install {' '.join(absent)} first", file=sys.stderr)
        return 1
    try:
        lab.enter([sys.executable, "-m", "demo.ovn", *sys.argv[1:]])
        show(sys.argv[1] if len(sys.argv) > 1 else "geneve")
    except LabError as error:
        print(f"\ndemo: {error}", file=sys.stderr, flush=True)
        subprocess.run(f"tail -n 20 {places.LAB}/*/*.log", shell=True, stdout=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
