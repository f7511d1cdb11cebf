"""The texts of `pyvs-vsctl --help` and `--version`."""

from pyvs import identity, rundir
from pyvs_tools import command

_USAGE = """pyvs-vsctl: query and configure the switch
usage: pyvs-vsctl [OPTIONS] [--] COMMAND [ARG...] [-- COMMAND [ARG...]]...

All commands of a run take effect together or not at all.

Switch:
  init                              make the database ready for use
  show                              what is configured, at a glance
  emer-reset                        back to a clean configuration

Bridges:
  add-br BRIDGE                     add a bridge
  add-br BRIDGE PARENT VLAN         add a fake bridge: VLAN of PARENT
  del-br BRIDGE                     remove a bridge with its ports
  list-br                           names of the bridges (--real, --fake)
  br-exists BRIDGE                  exit with 2 unless the bridge exists
  br-to-vlan BRIDGE                 its VLAN, 0 for a real bridge
  br-to-parent BRIDGE               its parent, itself for a real bridge
  br-set-external-id BRIDGE KEY [VALUE]   set or remove an external id
  br-get-external-id BRIDGE [KEY]   show one or all external ids

Ports (a bond is one port):
  list-ports BRIDGE                 names of the ports
  add-port BRIDGE PORT [COLUMN[:KEY]=VALUE]...           add a port
  add-bond BRIDGE PORT IFACE... [COLUMN[:KEY]=VALUE]...  add a bond
  add-bond-iface BOND IFACE         add an interface to a bond
  del-bond-iface [BOND] IFACE       remove an interface from its bond
  del-port [BRIDGE] PORT            remove a port
  port-to-br PORT                   the bridge of a port
  list-stale                        ports of containers that are gone

Interfaces:
  list-ifaces BRIDGE                names of the interfaces
  iface-to-br IFACE                 the bridge of an interface

Controllers and managers:
  get-controller BRIDGE             the controllers
  set-controller BRIDGE TARGET...   set them (--inactivity-probe=MSECS)
  del-controller BRIDGE             remove them
  get-fail-mode | del-fail-mode BRIDGE
  set-fail-mode BRIDGE standalone|secure
  get-manager | del-manager | set-manager TARGET...

TLS:
  get-ssl | del-ssl | set-ssl PRIVATE-KEY CERTIFICATE CA-CERT (--bootstrap)

Connection tracking zones and datapaths:
  add-zone-tp DATAPATH zone=ID KEY=SECONDS...
  del-zone-tp DATAPATH zone=ID | list-zone-tp DATAPATH
  list-dp-cap DATAPATH              what the datapath can do

Auto-attach:
  add-aa-mapping | del-aa-mapping BRIDGE I-SID VLAN | get-aa-mapping BRIDGE

Any table of the database:
  list TABLE [RECORD]...            print records
  find TABLE CONDITION...           print records that fulfil conditions
  get TABLE RECORD COLUMN[:KEY]...  print values
  set TABLE RECORD COLUMN[:KEY]=VALUE...
  add TABLE RECORD COLUMN [KEY=]VALUE...
  remove TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...
  clear TABLE RECORD COLUMN...
  create TABLE COLUMN[:KEY]=VALUE...
  destroy TABLE RECORD...
  wait-until TABLE RECORD [CONDITION]...
  comment [ARG]...                  leave a note in the database log

A record is named by its UUID, at least the first four digits of it, its name, or "." if it is
the only one.

Options:
  --db=SERVER                 database server (default: unix:{socket})
  --rundir=DIR                run directory (default: {rundir})
  --no-wait                   do not wait for pyvs-vswitchd to take over the configuration
  --retry                     try again until the server can be reached
  -t, --timeout=SECS          end with SIGALRM after SECS seconds
  --dry-run                   change nothing
  --oneline                   one line of output per command
  -f, --format=FORMAT         of list and find: list (default), table, html, csv, json
  -d, --data=FORMAT           of their cells: string (default), bare, json
  --no-headings, --bare, --pretty, --max-column-width=N
  --no-syslog                 do not tell the system log of changes
  --log-file[=FILE]           tell a file
  -v, --verbose               print the messages to and from the server
  -p, --private-key=FILE  -c, --certificate=FILE  -C, --ca-cert=FILE
  --bootstrap-ca-cert=FILE  --peer-ca-cert=FILE
                              for ssl: servers
  -h, --help  -V, --version
"""


def usage():
    return identity.renamed(_USAGE).format(socket=rundir.db_sock(), rundir=rundir.rundir())


def _schema_version():
    """The version of the schema that pyvs installs, or None."""
    import json

    try:
        with open(command.schema_path()) as file:
            return json.load(file).get("version")
    except (OSError, ValueError):
        return None


def version_text():
    schema = _schema_version()
    return command.version_text("pyvs-vsctl") + (f"DB Schema {schema}\n" if schema else "")
