"""Words that make no sense behind every command of every program: a clear answer, no traceback."""

import random
import subprocess

import pytest

from tests.daemons import BIN

pytestmark = pytest.mark.system
VSWITCHD_OPTIONS = ["--enable-dummy"]

WORDS = (
    "", "zz", "-1", "0", "99999999999999999999", "9" * 5000, "é", "²", "0x", "br0", "p1", "a=b",
    "tcp,tp_dst=", "actions=", "actions=output:", "group_id=1,type=select,bucket=", "{", "((((",
    "meter=1,kbps,band=type=drop,rate=", "nonexistent/file", "empty", ".", "\x01", ":", "@x", "*",
    "table=255,actions=drop", "0/0/0", "[", "1,2,3", "bridge", "open", "other_config:a",
)  # fmt: skip
LISTED = ("pyvs-ofctl", "pyvs-appctl", "pyvs-dpctl")  # they have list-commands
# Commands that go on until they are told to end, or that end the daemon
ENDLESS = {"monitor", "snoop", "ping", "benchmark", "exit", "quit", "wait-until", "lock"}
COMMANDS = {
    "pyvs-vsctl": "add-br del-br add-port del-port set get list find create destroy add remove"
    " clear set-controller set-fail-mode add-bond iface-to-br br-set-external-id set-ssl"
    " set-manager add-zone-tp --columns=zz --id=@a",
    "pyvs-ovsdb-client": "list-dbs get-schema list-tables list-columns transact query dump backup"
    " needs-conversion convert",
    "pyvs-ovsdb-tool": "create convert compact query transact show-log db-version schema-version"
    " db-name schema-cksum needs-conversion db-is-standalone check-cluster",
}
ROUNDS = 2


def commands_of(switch, program):
    if program in LISTED:
        lines = switch.command(program, "list-commands").splitlines()[1:]
        return [line.split()[0] for line in lines]
    return COMMANDS[program].split()


def answer(switch, program, *words):
    done = subprocess.run(
        [*switch.host.prefix, str(BIN / program), *words],
        **{"env": switch.environment, "cwd": switch.directory, "stdin": subprocess.DEVNULL},
        capture_output=True,
        timeout=30,
    )
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", [*LISTED, *COMMANDS])
def test_words_that_make_no_sense(switch, program):
    switch.allow(".")  # what a command sets is refused by the log
    switch.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")
    switch.vsctl("add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy")
    rng = random.Random(program)
    for command in commands_of(switch, program):
        if command in ENDLESS:
            continue
        for _ in range(ROUNDS):
            words = [rng.choice(WORDS) for _ in range(rng.randrange(4))]
            if rng.random() < 0.5:
                words.insert(0, "br0")
            said = answer(switch, program, command, *words)
            trouble = "Traceback" in said or "internal error" in said
            assert not trouble, (command, words, said[-2000:])
    assert not [line for _, line in switch.logs() if "Traceback" in line]
