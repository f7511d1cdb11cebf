"""Plug-ins that are killed at each of their steps: the next call works, and nothing is left."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers import test_netavark
from tests.containers.conftest import devices, ports
from tests.containers.test_cni import PLUGINS
from tests.daemons import ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

# A front that is killed when it has changed something for the Nth time: argv is N, module, words.
KILLED = """
import importlib, os, signal, sys
from containers import database, rtnetlink
from containers.cni import spawn
from containers.driver import nat
left, module = int(sys.argv[1]), sys.argv[2]

def cut(owner, name, changes):
    plain = getattr(owner, name)
    def call(*words, **options):
        global left
        value = plain(*words, **options)
        if changes(*words):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return value
    setattr(owner, name, call)

cut(rtnetlink.Rtnetlink, "_request", lambda _self, kind, *_rest: kind != rtnetlink.RTM_GETLINK)
cut(database.Database, "transact",
    lambda _self, *operations: any(each["op"] != "select" for each in operations))
cut(spawn, "run", lambda *_words: True)
cut(nat, "_run", lambda *_words: True)
del sys.argv[1:3]
sys.exit(importlib.import_module(module).main())
"""
MOST = 60  # steps, of any call


class Front:
    """Calls of one front about the container c1, whose namespace is `sandbox`."""

    module = ""

    def __init__(self, switch, tmp_path):
        self.switch, self.files = switch, tmp_path

    def execute(self, steps, words, given="", **environment):
        """(status, stdout); steps 0: it is not killed."""
        program = [sys.executable, "-c", KILLED, str(steps), self.module]
        done = subprocess.run(
            [*self.switch.host.prefix, *program, *words],
            input=given, capture_output=True, text=True, timeout=60, cwd=ROOT,
            env={**self.switch.environment, **environment},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def left(self):
        """What there is beside ports and devices."""
        return self.switch.vsctl("get", "bridge", "br0", "external_ids").strip()


class Cni(Front):
    module = "containers.cni.main"

    def call(self, command, sandbox, steps=0, **changes):
        ipam = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]}
        ipam["dataDir"] = str(self.files)
        config = {"cniVersion": "1.1.0" if command == "GC" else "1.0.0", "name": "n", "ipam": ipam}
        config.update(type="pyvs-cni", bridge="br0", **changes)
        variables = {"COMMAND": command, "CONTAINERID": "c1", "IFNAME": "eth0", "PATH": PLUGINS}
        variables["NETNS"] = f"/proc/{sandbox.pid}/ns/net"
        environment = {f"CNI_{name}": value for name, value in variables.items()}
        return self.execute(steps, [], json.dumps(config), **environment)

    def add(self, sandbox, steps=0):
        return self.call("ADD", sandbox, steps)

    def delete(self, sandbox, steps=0):
        return self.call("DEL", sandbox, steps)

    def clear(self, sandbox, steps=0):
        """Of addresses, a host-local before 1.1.0 takes back by DEL alone."""
        return self.call("GC", sandbox, steps, **{"cni.dev/valid-attachments": []})

    def left(self):
        files = sorted((self.files / "n").glob("10.*")) if (self.files / "n").exists() else []
        return super().left() if not files else str(files)


class Netavark(Front):
    module = "containers.netavark"

    def call(self, command, sandbox, steps):
        given = test_netavark.asked(2, [test_netavark.mapping(80, 8080)])
        words = [command, f"/proc/{sandbox.pid}/ns/net"]
        return self.execute(steps, words, json.dumps(given))

    def add(self, sandbox, steps=0):
        return self.call("setup", sandbox, steps)

    def delete(self, sandbox, steps=0):
        return self.call("teardown", sandbox, steps)

    clear = delete

    def left(self):
        return super().left() + self.switch.host.run("nft", "list", "tables")


class OvsDocker(Front):
    module = "containers.ovs_docker"

    def add(self, sandbox, steps=0):
        words = ["add-port", "br0", "eth0", str(sandbox.pid), "--ipaddress=10.2.0.2/24"]
        return self.execute(steps, words)

    def delete(self, sandbox, steps=0):
        words = ["del-port", "br0", "eth0", str(sandbox.pid)]
        status, said = self.execute(steps, words)
        return (0, "") if "no port of interface" in said else (status, said)

    def clear(self, sandbox, steps=0):
        return self.execute(steps, ["del-ports", "br0", str(sandbox.pid)])


@pytest.fixture(params=[Cni, Netavark, OvsDocker])
def front(request, bridge, tmp_path):
    if request.param is Cni and not Path(PLUGINS, "host-local").exists():
        pytest.skip("no host-local (Debian: containernetworking-plugins)")
    return request.param(bridge, tmp_path)


def works(front, sandbox):
    status, said = front.add(sandbox)
    assert status == 0, said
    assert devices(sandbox) == ["eth0"]
    assert len([name for name in ports(front.switch) if name.startswith("pv")]) == 1


def nothing(front, sandbox, step):
    status, said = front.delete(sandbox)
    assert status == 0, (step, said)
    left = ports(front.switch), devices(front.switch.host), devices(sandbox), front.left()
    assert left == ([], [], [], "{}"), (step, left)


def test_attachments_that_are_cut_off(front, sandboxes):
    """The same call again makes it anew, or says that all of it is there; and all of it goes."""
    one = sandboxes()
    for step in range(1, MOST):
        status, said = front.add(one, step)
        if status == 0:
            break
        assert status == -signal.SIGKILL, said
        whole = devices(one) and any(name.startswith("pv") for name in ports(front.switch))
        if step % 3 == 0:
            assert front.clear(one)[0] == 0
            if not isinstance(front, Cni):
                works(front, one)
            assert "pv" not in " ".join(devices(front.switch.host)) or not isinstance(front, Cni)
        elif step % 3 == 1:
            status, said = front.add(one)
            assert status == 0 or (whole and "already" in said), (step, said)
        nothing(front, one, step)
    assert step > 4, said
    nothing(front, one, step)


def test_detachments_that_are_cut_off(front, sandboxes):
    one = sandboxes()
    for step in range(1, MOST):
        works(front, one)
        end = front.clear if step % 2 else front.delete
        status, said = end(one, step)
        assert status in (0, -signal.SIGKILL), said
        nothing(front, one, step)
        if status == 0:
            return
    raise AssertionError("it never ends")


def test_a_container_that_comes_back_after_a_reboot(front, sandboxes):
    """Under the name that it had, and nobody has said that it was gone."""
    one = sandboxes()
    works(front, one)
    front.switch.host.run("ip", "link", "del", devices(front.switch.host)[-1])
    works(front, one)
    nothing(front, one, 0)
