"""The text of pyvs-ofctl --help, and the list of commands."""

import re
import sys

from pyvs import identity

USAGE = """pyvs-ofctl: OpenFlow switch management utility
usage: pyvs-ofctl [OPTIONS] COMMAND [ARG...]

For OpenFlow switches:
  show SWITCH                      show OpenFlow information
  dump-desc SWITCH                 print switch description
  dump-tables SWITCH               print table stats
  dump-table-features SWITCH       print table features
  dump-table-desc SWITCH           print table description (OpenFlow 1.4+)
  mod-port SWITCH IFACE ACT        modify port behavior
  mod-table SWITCH TABLE SETTING   modify flow table behavior
  get-frags SWITCH                 print fragment handling behavior
  set-frags SWITCH FRAG_MODE       set fragment handling behavior
                                   (normal, drop, reassemble, nx-match)
  dump-ports SWITCH [PORT]         print port statistics
  dump-ports-desc SWITCH [PORT]    print port descriptions
  dump-flows SWITCH [FLOW]         print flow entries, or those that match FLOW
  dump-aggregate SWITCH [FLOW]     print aggregate flow statistics
  queue-stats SWITCH [PORT [QUEUE]]   print queue stats
  queue-get-config SWITCH [PORT]   print queue config
  add-flow SWITCH FLOW             add flow described by FLOW ("-": standard input)
  add-flows SWITCH FILE            add flows from FILE
  [--strict] mod-flows SWITCH FLOW    modify actions of matching FLOWs
  [--strict] del-flows SWITCH [FLOW]  delete matching FLOWs
  [--readd] replace-flows SWITCH FILE replace flows with those in FILE
  diff-flows SOURCE1 SOURCE2       compare flows of two files or switches
  packet-out SWITCH IN_PORT ACTIONS PACKET...
  packet-out SWITCH "in_port=PORT packet=HEX actions=..."
                                   execute actions on a packet
  add-tlv-map SWITCH MAP...        add tunnel options: {class=C,type=T,len=L}->tun_metadataN
  del-tlv-map SWITCH [MAP...]      delete tunnel options, or all
  dump-tlv-map SWITCH              print the table of tunnel options
  ct-flush-zone SWITCH ZONE        forget the tracked connections of a zone
  ct-flush SWITCH [zone=N] [TUPLE [TUPLE]]  forget some of them, by what their packets have
  dump-ipfix-bridge SWITCH         print what IPFIX counts of the switch
  dump-ipfix-flow SWITCH           print what IPFIX counts of flows
  bundle SWITCH FILE               the flow, group and packet-out lines of FILE as one
                                   transaction
  monitor SWITCH [MISS_LEN] [invalid_ttl] [resume] [watch:[SPEC]]
                                   print what SWITCH says: packets, changes of flows
  snoop SWITCH                     snoop on SWITCH and its controller
  add-group SWITCH GROUP           add group described by GROUP ("-": standard input)
  add-groups SWITCH FILE           add groups from FILE
  [--may-create] mod-group SWITCH GROUP
                                   modify GROUP, or add it where it may be created
  del-groups SWITCH [GROUP]        delete GROUP, or all groups
  insert-buckets SWITCH GROUP      add buckets to a group (OpenFlow 1.0)
  remove-buckets SWITCH GROUP      remove buckets from a group (OpenFlow 1.0)
  dump-groups SWITCH [GROUP]       print group description
  dump-group-stats SWITCH [GROUP]  print group statistics
  dump-group-features SWITCH       print group features
  add-meter SWITCH METER           add a meter
  mod-meter SWITCH METER           change a meter
  del-meters SWITCH [METER]        delete a meter, or all
  dump-meters SWITCH [METER]       print meter configuration
  meter-stats SWITCH [METER]       print meter statistics
  meter-features SWITCH            print meter features

For OpenFlow switches and controllers:
  probe TARGET                     probe whether TARGET is up
  ping TARGET [N]                  latency of N-byte echos
  benchmark TARGET N COUNT         bandwidth of COUNT N-byte echos

Other commands:
  parse-flow FLOW                  print FLOW as the flow mod that it makes
  parse-flows FILE                 the same for the lines of FILE
  ofp-parse FILE                   print messages read from FILE
  ofp-parse-pcap FILE [PORT...]    print the messages of connections in a capture
  ofp-print HEX [VERBOSITY]        print a message given in hexadecimal ("-": on standard input)
  print-error ERROR                print the type and code of an error in each version
  encode-error-reply ERROR HEX     print the error message that answers a message
  encode-hello BITMAP              print the HELLO that offers these versions
  parse-key-value STRING...        print how flow text is split
  compose-packet FLOW [HEX]        print a packet of FLOW, with HEX behind its L4 header
  parse-packet                     print the fields of a packet on standard input
  list-commands                    print the commands and their arguments
Of lines of standard input:
  [--strict] parse-nx-match        print matches of NXM fields as they are sent
             (or parse-nxm)
  [--strict] parse-oxm VERSION     the same of OXM fields
  parse-ofp10-match, parse-ofp11-match
                                   print struct ofp_match in hexadecimal as text
  parse-actions VERSION, parse-instructions VERSION
                                   the same of actions and instructions
  check-vlan TCI MASK              print how a match on a VLAN tag is sent

SWITCH or TARGET is the name of a bridge, or an active OpenFlow connection method:
  tcp:HOST[:PORT]                  PORT (default: 6653) at remote HOST
  ssl:HOST[:PORT]                  SSL PORT (default: 6653) at remote HOST
  unix:FILE                        Unix domain socket named FILE
PKI configuration (required to use SSL):
  -p, --private-key=FILE           file with private key
  -c, --certificate=FILE           file with certificate for private key
  -C, --ca-cert=FILE               file with peer CA certificate

Options:
  -O, --protocols=VERSION[,...]    OpenFlow10 to OpenFlow15 (default: what the switch allows,
                                   OpenFlow10 where that can say it)
  -F, --flow-format=FORMAT[,...]   flow formats to choose from
  -P, --packet-in-format=FORMAT    standard, nxt_packet_in or nxt_packet_in2 (monitor)
  -m, --more                       be more verbose printing OpenFlow
      --strict                     use strict match for flow commands
      --read-only                  do not execute read/write commands
      --readd                      replace flows that haven't changed
      --timestamp                  (monitor, snoop) print timestamps
      --bundle                     flow and group commands as one transaction (OpenFlow 1.4)
      --detach, --pidfile[=FILE], --no-chdir, --overwrite-pidfile
                                   (monitor) go on in the background
      --unixctl=SOCKET             (monitor) where pyvs-appctl finds it
      --sort[=FIELD]               sort flows in ascending order
      --rsort[=FIELD]              sort flows in descending order
      --names, --no-names          show (and accept) port names, or numbers only
      --no-stats                   flows without counters and ages
      --tree                       (dump-flows) flows below those that lead to their tables
  -f, --format=FORMAT              text (default), or json for what dumps and show print
      --pretty                     with -f json: one member a line
  -t, --timeout=SECS               give up after SECS seconds
      --color[=WHEN]               flows in colors: always, never, or auto
      --rundir=DIR                 run directory
  -h, --help                       display this help message
  -V, --version                    display version information
"""

# A command's line: options, name, arguments.
_COMMAND = re.compile(r"^  (?:\[--[a-z-]+\] )?([a-z]+(?:-[a-z0-9]+)*)((?: [^ ]+)*)(?:  |$)", re.M)


def help(_settings, *_words):
    """help"""
    sys.stdout.write(identity.renamed(USAGE))


def list_commands(settings):
    """list-commands"""
    usage = USAGE[: USAGE.index("Options:")]
    arguments = {name: text.strip().lower() for name, text in _COMMAND.findall(usage)}
    sys.stdout.write("The available commands are:\n")
    for name in settings.commands:
        sys.stdout.write(f"  {name:<23} {arguments.get(name, '')}".rstrip() + "\n")
