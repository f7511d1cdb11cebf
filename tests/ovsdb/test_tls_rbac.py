"""TLS remotes, with Open vSwitch's client as a peer, and rights by certificate."""

import contextlib
import os
import socket
import ssl
import subprocess

import pytest

from ovsdb.data.condition import Condition
from ovsdb.data.database import Database
from ovsdb.data.schema import DatabaseSchema
from ovsdb.storage import files
from ovsdb.transactions import rbac
from ovsdb.transactions.operations import execute
from pyvs_tools.ovsdb import rpc as ovsdb_rpc
from tests.authority import Authority, needs_openssl, resetting
from tests.ovsdb.ovsdb_world import HAVE_OVS, Client, Daemon, directory, insert, select, wait_until

pytestmark = needs_openssl

MANY = {"min": 0, "max": "unlimited"}
STRINGS = {"type": {"key": "string", **MANY}}
SCHEMA = {
    "name": "Rights",
    "version": "1.0.0",
    "tables": {
        "Connection": {
            "isRoot": True,
            "columns": {
                "target": {"type": "string"},
                "role": {"type": "string"},
                "read_only": {"type": "boolean"},
                "status": {
                    "type": {"key": "string", "value": "string", **MANY},
                    "ephemeral": True,
                },
            },
        },
        "Global": {
            "isRoot": True,
            "columns": {
                "connections": {"type": {"key": {"type": "uuid", "refTable": "Connection"}, **MANY}}
            },
        },
        "Chassis": {
            "isRoot": True,
            "columns": {"name": {"type": "string"}, "n": {"type": "integer"}, "owner": STRINGS},
        },
        "RBAC_Role": {
            "isRoot": True,
            "columns": {
                "name": {"type": "string"},
                "permissions": {
                    "type": {
                        "key": "string",
                        "value": {"type": "uuid", "refTable": "RBAC_Permission"},
                        **MANY,
                    }
                },
            },
        },
        "RBAC_Permission": {
            "columns": {
                "table": {"type": "string"},
                "authorization": STRINGS,
                "insert_delete": {"type": "boolean"},
                "update": STRINGS,
            }
        },
    },
}
ROLE = [
    insert(
        "RBAC_Permission",
        named="p",
        table="Chassis",
        authorization="name",
        insert_delete=True,
        update=["set", ["n"]],
    ),
    insert("RBAC_Role", name="agent", permissions=["map", [["Chassis", ["named-uuid", "p"]]]]),
]


@pytest.fixture(scope="module")
def world():
    """(server, authority, address of the TLS remote without a role, of that for role "agent")"""
    with directory() as path:
        authority = Authority(path)
        remote = "--remote=db:Rights,Global,connections"
        server = Daemon("pyvs", path, SCHEMA, options=[*authority.issue("server"), remote])
        client = server.client()
        rows = [
            insert("Connection", named="a", target="pssl:0:127.0.0.1"),
            insert("Connection", named="b", target="pssl:0:127.0.0.2", role="agent"),
        ]
        both = ["set", [["named-uuid", "a"], ["named-uuid", "b"]]]
        results = client.transact("Rights", *rows, *ROLE, insert("Global", connections=both))
        assert "error" not in results[-1]

        def ports():
            rows = client.transact("Rights", select("Connection", columns=["role", "status"]))
            found = {row["role"]: dict(row["status"][1]) for row in rows[0]["rows"]}
            return found if all("bound_port" in each for each in found.values()) else None

        found = wait_until(ports, "the ports")
        client.close()
        addresses = {"": "127.0.0.1", "agent": "127.0.0.2"}
        yield (
            server,
            authority,
            *[f"{addresses[role]}:{found[role]['bound_port']}" for role in ("", "agent")],
        )
        assert server.process.poll() is None, server.log
        server.stop()


def tls_client(authority, name, address):
    remote = f"ssl:{address}"
    return Client(ovsdb_rpc.open_socket(remote, authority.settings(name)), remote)


def test_requests_of_any_size(world):
    _, authority, address, _ = world
    client = tls_client(authority, "c1", address)
    assert client.request("echo", ["x" * 3_000_000]) == ["x" * 3_000_000]
    for size in (1, 16383, 16384, 16385, 70000):
        assert client.request("echo", ["y" * size]) == ["y" * size]
    client.close()


def test_clients_that_reset(world):
    """Wherever in the handshake they are."""
    server, authority, address, _ = world
    host, _, port = address.rpartition(":")
    client = tls_client(authority, "c1", address)
    for said in resetting((host, int(port))):
        assert client.request("echo", [said.hex()]) == [said.hex()]
    assert client.request("echo", ["x"]) == ["x"]
    client.close()
    client = tls_client(authority, "c1", address)
    assert client.request("echo", ["y"]) == ["y"]
    client.close()
    assert "Traceback" not in server.log


def test_many_at_once_and_pipelined(world):
    _, authority, address, _ = world
    clients = [tls_client(authority, "c2", address) for _ in range(5)]
    for client in clients:
        for number in range(100):
            client.send({"method": "echo", "params": ["z" * 1000], "id": number})
    for client in clients:
        assert [client.receive()["id"] for _ in range(100)] == list(range(100))
        client.close()


@pytest.mark.skipif(not HAVE_OVS, reason="Open vSwitch is not installed")
@pytest.mark.peer
def test_open_vswitch_clients(world):
    _, authority, address, _ = world
    command = ["ovsdb-client", *authority.issue("c3"), "list-dbs", f"ssl:{address}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.stdout.split() == ["Rights", "_Server"], done.stderr


def test_strangers_are_refused(world):
    """A certificate of another authority, none, and what is no TLS at all."""
    server, authority, address, _ = world
    with directory() as path:
        stranger = Authority(path)
        tls = stranger.settings("evil")
        tls.ca_cert = os.path.join(authority.path, "ca.pem")
        with pytest.raises((ovsdb_rpc.ConnectError, ovsdb_rpc.Disconnected, ssl.SSLError)):
            sock = ovsdb_rpc.open_socket(f"ssl:{address}", tls)
            Client(sock, "ssl").request("list_dbs", [])
    for data in (b'{"method":"echo","params":[],"id":1}', b"\x16\x03\x01\x00\x05hello", b""):
        sock = socket.create_connection(("127.0.0.1", int(address.split(":")[1])))
        with contextlib.suppress(OSError):  # it is gone by now, or while we send or listen
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1000):
                pass
        sock.close()
    wait_until(lambda: "handshake failed" in server.log, "its complaint")
    assert server.client().request("echo", []) == []


def test_active_tls(world):
    """The server as a client; a connection that is dropped in the handshake is tried again."""
    server, authority, _, _ = world
    tls = authority.settings("manager")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(15)
    target = f"ssl:127.0.0.1:{listener.getsockname()[1]}"
    server.control("ovsdb-server/add-remote", target)
    listener.accept()[0].close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.private_key)
    context.load_verify_locations(tls.ca_cert)
    context.verify_mode = ssl.CERT_REQUIRED
    sock = context.wrap_socket(listener.accept()[0], server_side=True)
    assert "Rights" in Client(sock, "x").request("list_dbs", [])
    server.control("ovsdb-server/remove-remote", target)
    sock.close()
    listener.close()


def test_files_that_the_database_names():
    """--private-key=db:... as in ovs-ctl."""
    with directory() as path:
        authority = Authority(path)
        tls = authority.settings("switch")
        columns = ("private_key", "certificate", "ca_cert")
        options = [f"--{name.replace('_', '-')}=db:Open_vSwitch,SSL,{name}" for name in columns] + [
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options"
        ]
        schema = files.load_schema(files.SWITCH_SCHEMA)
        server = Daemon("pyvs", path, schema, options=options)
        client = server.client()
        row = {name: getattr(tls, name) for name in columns}
        client.transact(
            "Open_vSwitch",
            insert("Manager", named="m", target="pssl:0:127.0.0.1"),
            insert("SSL", named="s", **row),
            insert("Open_vSwitch", manager_options=["named-uuid", "m"], ssl=["named-uuid", "s"]),
        )

        def port():
            [row] = client.transact("Open_vSwitch", select("Manager"))[0]["rows"]
            return dict(row["status"][1]).get("bound_port")

        number = int(wait_until(port, "the port"))
        remote = f"ssl:127.0.0.1:{number}"
        other = Client(ovsdb_rpc.open_socket(remote, tls), remote)
        assert "Open_vSwitch" in other.request("list_dbs", [])
        server.stop()


# --- rights


def error_of(results):
    return [result.get("error") if result else None for result in results][-1]


def test_rights_by_certificate(world):
    """An agent changes what carries its name; another's rows it does not touch."""
    server, authority, _, address = world
    one, two = (tls_client(authority, name, address) for name in ("one", "two"))
    assert "uuid" in one.transact("Rights", insert("Chassis", name="one"))[0]
    update = {"op": "update", "table": "Chassis", "where": [["name", "==", "one"]]}
    assert one.transact("Rights", {**update, "row": {"n": 3}}) == [{"count": 1}]
    refused = [
        (two, {**update, "row": {"n": 4}}),
        (two, {**update, "op": "mutate", "mutations": [["n", "+=", 1]]}),
        (two, {"op": "delete", "table": "Chassis", "where": [["name", "==", "one"]]}),
        (one, {**update, "row": {"owner": "x"}}),
        (one, {**update, "row": {"name": "two"}}),
        (one, insert("Global")),
        (one, {"op": "delete", "table": "RBAC_Role", "where": []}),
        (one, {"op": "update", "table": "RBAC_Role", "where": [], "row": {"name": "x"}}),
    ]
    for client, operation in refused:
        assert error_of(client.transact("Rights", operation)) == "permission error", operation
    rows = two.transact("Rights", select("Chassis", columns=["n"]))[0]["rows"]
    assert rows == [{"n": 3}], "reading is for everyone"
    delete = {"op": "delete", "table": "Chassis", "where": [["name", "==", "one"]]}
    assert one.transact("Rights", delete) == [{"count": 1}]
    unlimited = server.client()
    assert "uuid" in unlimited.transact("Rights", insert("Chassis", name="z"))[0]
    for client in (one, two, unlimited):
        client.close()


@pytest.mark.parametrize(
    ("authorization", "client_id", "allowed"),
    [
        ("", None, True),
        ("name", "n", True),
        ("name", "x", False),
        ("name", None, False),
        ("owner", "a", True),
        ("owner", "b", True),
        ("owner", "c", False),
        ("nosuch", "n", False),
        ("name:k", "n", False),
    ],
)
def test_authorization(authorization, client_id, allowed):
    database = Database(DatabaseSchema.from_json(SCHEMA))
    role = [{**ROLE[0], "row": {**ROLE[0]["row"], "authorization": authorization}}, ROLE[1]]
    execute(database, [*role, insert("Chassis", name="n", owner=["set", ["a", "b"]])])
    rights = rbac.Rights("agent", client_id)
    update = {"op": "update", "table": "Chassis", "where": [], "row": {"n": 5}}
    results = execute(database, [update], rights=rights)
    assert (results == [{"count": 1}]) == allowed
    assert Condition([]).all(next(iter(database.tables["Chassis"].rows.values())))


def test_unknown_role_has_no_rights():
    database = Database(DatabaseSchema.from_json(SCHEMA))
    results = execute(database, [insert("Chassis")], rights=rbac.Rights("nobody", "x"))
    assert error_of(results) == "permission error"
