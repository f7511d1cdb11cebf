"""What this switch and its host are, written into the database."""

import contextlib
import json
import os

from pyvs import rundir, version
from pyvs_tools.command import Fatal
from pyvs_tools.ovsdb import rpc as ovsdb_rpc
from pyvs_tools.vsctl import main as vsctl

from .database import first_record


def _os_release():
    """(type, version) of the host."""
    values = {}
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        with contextlib.suppress(OSError), open(path) as file:
            for line in file:
                key, _, value = line.strip().partition("=")
                values.setdefault(key, value.strip("\"'"))
    return values.get("ID", "unknown"), values.get("VERSION_ID", "unknown")


def _system_id(options):
    """external_ids:system-id: given, or random but the same for ever."""
    given = options.get("system-id", "random")
    if given != "random":
        return given
    path = os.path.join(rundir.dbdir(), "system-id.conf")
    with contextlib.suppress(OSError), open(path) as file:
        saved = file.read().strip()
        if saved:
            return saved
    from pyvs_tools.ovsdb.types import new_uuid

    made = new_uuid()
    with open(path, "w") as file:
        file.write(made + "\n")
    return made


def initialize(options):
    """Writes into the database what this switch is."""
    kind, release = _os_release()
    schema_version = first_record(options.db_file()).get("version", "")
    settings = [
        f"db_version={json.dumps(schema_version)}",
        f"ovs_version={json.dumps(version.OVS_COMPATIBLE)}",
        f"system_type={json.dumps(options.get('system-type', kind))}",
        f"system_version={json.dumps(options.get('system-version', release))}",
        f"external_ids:rundir={json.dumps(rundir.rundir())}",
        f"external_ids:system-id={json.dumps(_system_id(options))}",
    ]
    for pair in options.all("external-id"):
        key, _, value = pair.partition("=")
        settings.append(f"external_ids:{json.dumps(key)}={json.dumps(value)}")
    _vsctl("init", "--", "set", "Open_vSwitch", ".", *settings)
    client = ovsdb_rpc.connect("unix:" + rundir.db_sock())
    if "no-record-hostname" not in options:
        record_hostname(client)
    if "delete-bridges" in options:
        _vsctl("clear", "Open_vSwitch", ".", "bridges")
    if "delete-transient-ports" in options:
        delete_transient_ports(client)
    client.close()


def record_hostname(client):
    """An administrator's host name stays."""
    pair = ["map", [["hostname", os.uname().nodename]]]
    mutation = [["external_ids", "insert", pair]]
    mutate = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": mutation}
    client.request("transact", ["Open_vSwitch", mutate])


def _vsctl(*words):
    base = [f"--db=unix:{rundir.db_sock()}", "--no-wait", "--no-syslog"]
    if vsctl.main([*base, "--", *words]):
        raise Fatal("the database could not be initialized")


def delete_transient_ports(client):
    condition = ["other_config", "includes", ["map", [["transient", "true"]]]]
    select = {"op": "select", "table": "Port", "where": [condition], "columns": ["name"]}
    rows = client.request("transact", ["Open_vSwitch", select])[0]["rows"]
    for row in rows:
        _vsctl("--if-exists", "del-port", row["name"])
