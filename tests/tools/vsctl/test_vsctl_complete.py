"""Completion of pyvs-vsctl, by itself and in bash."""

import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyvs_tools.vsctl import main as vsctl
from pyvs_tools.vsctl.complete import complete
from tests.tools.ovsdb_peers import run_ours, start_server

SCRIPT = os.path.join(os.path.dirname(vsctl.__file__), "pyvs-vsctl.bash")


@pytest.fixture(scope="module")
def server():
    started = start_server("pyvs")
    words = "add-br br0 -- add-br br1 -- add-port br0 eth0 -- br-set-external-id br0 key value"
    assert run_ours(vsctl.main, [f"--db={started.remote}", "--no-wait", *words.split()])[0] == 0
    yield started
    started.stop()


def candidates(server, *words):
    remote = server.remote if server else "unix:/nonexistent/sock"
    args = [f"--complete={len(words)}", "--", f"--db={remote}", *words]
    status, out, err = run_ours(vsctl.main, args)
    assert (status, err) == (0, "")
    return out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["add-b"], ["add-bond", "add-bond-iface", "add-br"]),
        (["--ti"], ["--timeout="]),
        (["--if-exists", "del-p"], ["del-port"]),
        (["del-br", "b"], ["br0", "br1"]),
        (["list-ports", ""], ["--", "br0", "br1"]),
        (["add-br", "x", "--", "list-p"], ["list-ports"]),
        (["del-port", "e"], ["eth0"]),
        (["del-port", "br0", "e"], ["eth0"]),
        (["list", "Br"], ["Bridge"]),
        (["list", "bridge", "br"], ["br0", "br1"]),
        (["get", "Bridge", "br0", "fail"], ["fail_mode"]),
        (["get", "Bridge", "br0", "external_ids:"], ["external_ids:key"]),
        (["set", "br", "br0", "fail"], ["fail_mode="]),
        (["set", "Bridge", "br0", "fail_mode=secure", "stp"], ["stp_enable="]),
        (["set", "Bridge", "br0", "external_i"], ["external_ids:"]),
        (["set-fail-mode", "br0", "s"], ["secure", "standalone"]),
        (["add-port", "br0", "new", "ta"], ["tag="]),
        (["set", "open", ""], ["--", "."]),
        (["nonsense", "b"], []),
        (["--timeout", "5", "list-b"], ["list-br"]),
    ],
)
def test_what_may_follow(server, words, expected):
    found = candidates(server, *words)
    if words[-1] == "":
        assert set(expected) <= set(found)
    else:
        assert found == expected


def test_without_a_server():
    """Commands and options are known; names are not, and nobody is kept waiting."""
    assert candidates(None, "add-b") == ["add-bond", "add-bond-iface", "add-br"]
    assert candidates(None, "del-br", "b") == []


@given(st.lists(st.sampled_from(["--", "--db", "get", "set", "br0", "Bridge", "-t", "=", ":", ""])))
def test_any_words(words):
    for number in range(len(words) + 2):
        found = complete(words, number, vsctl.COMMANDS, vsctl.OPTIONS, "unix:/nonexistent/sock")
        word = words[number] if number < len(words) else ""
        assert all(each.startswith(word) for each in found)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pyvs-vsctl add-b", ["add-bond", "add-bond-iface", "add-br"]),
        ("pyvs-vsctl list-ports br0 -- del-br br", ["br0", "br1"]),
        ("pyvs-vsctl get Bridge br0 external_ids:k", ["key"]),
        ("pyvs-vsctl set Bridge br0 fail", ["fail_mode="]),
    ],
)
def test_in_bash(server, tmp_path, line, expected):
    command = tmp_path / "pyvs-vsctl"
    command.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "from pyvs_tools.vsctl.main import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    script = (
        f"source {SCRIPT}; compopt() {{ :; }}; COMP_LINE='{line}'; COMP_POINT={len(line)};"
        ' _pyvs_vsctl; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYVS_RUNDIR": server.directory,
    }
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == expected
