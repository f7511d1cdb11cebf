"""vsctl's list-stale: ports of containers whose network namespace is gone.

A container's end of a veth pair ends with its namespace, and takes the switch's end with it; the
port stays in the database.  Such a port has no number, and its external_ids say whose it was.
"""

from .context import Spec

# external_ids of an Interface or a Port that ovs-docker, ovs-cni, netavark's and Docker's plug-ins
# write.
CONTAINER_IDS = ("container_id", "contNetns", "docker_endpoint", "docker_network")


def run_list_stale(context, command):
    interfaces = context.snapshot.rows["Interface"]
    for port in sorted(context.snapshot.table("Port"), key=lambda row: row.one("name")):
        rows = [interfaces[uuid] for uuid in port.get("interfaces") if uuid in interfaces]
        ids = {key for row in (port, *rows) for key in row.get("external_ids")}
        if ids & set(CONTAINER_IDS) and all(row.one("ofport") == -1 for row in rows):
            command.print(port.one("name"))


_ROWS = {
    "Port": ("name", "interfaces", "external_ids"),
    "Interface": ("ofport", "external_ids"),
}

COMMANDS = {"list-stale": Spec(0, 0, "", _ROWS, run_list_stale)}
