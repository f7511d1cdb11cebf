"""pyvs-vsctl beside ovs-vsctl: the same commands give the same output, the same exit status,
the same messages, and leave the same database."""

# ruff: noqa: E501

import re
import shlex

import pytest

from pyvs_tools.vsctl import main as vsctl
from tests.tools.ovsdb_peers import (
    contents,
    needs_ovs,
    normal_uuids,
    run_ours,
    run_peer,
    start_server,
)

pytestmark = [needs_ovs, pytest.mark.peer]

SETUP = """
init
add-br br0
add-br br1
add-br fb br0 10
add-port br0 eth0
add-port br0 e1 tag=5 external_ids:a=b other-config:x=1
add-port fb eth1
add-port br0 eth2 tag=10 trunks=1,2 -- set interface eth2 type=internal options:a=b
add-bond br0 bond0 b1 b2 bond_mode=active-backup lacp=active
set-controller br0 tcp:1.2.3.4:6653 ptcp:
set-fail-mode br0 secure
--inactivity-probe=5000 set-manager ptcp:6640 tcp:1.2.3.4
set-ssl /a /b /c
add-aa-mapping br0 10 20
br-set-external-id br0 k v
br-set-external-id fb k2 v2
set bridge br1 other_config:hwaddr='"00:00:00:00:00:01"' datapath_type=netdev
set port eth0 external_ids='{"a b"="c d",true=false,n="5"}'
set port bond0 bond_updelay=-5 external_ids:q='"a\\"b"'
-- --id=@nf create NetFlow targets=\\"1.2.3.4:5566\\" active-timeout=30 -- set Bridge br0 netflow=@nf
-- --id=@ft create Flow_Table flow_limit=100 name=tbl -- set Bridge br0 flow_tables=0=@ft
-- --id=@p get port eth0 -- --id=@m create mirror name=m select-src-port=@p -- set bridge br0 mirrors=@m
-- --id=@d create datapath datapath_version=1 -- set open . datapaths:netdev=@d
-- --id=@q create qos type=linux-htb queues:0=@z -- --id=@z create queue dscp=1 -- set port e1 qos=@q
set open . ovs_version=3.1.0 system_type=x
"""

READS = r"""
show
list-br
--real list-br
--fake list-br
list-ports br0
list-ports fb
list-ifaces br0
list-ifaces fb
list-ports xx
list-ifaces xx
br-to-vlan fb
br-to-vlan br0
br-to-parent fb
br-to-parent br0
br-to-parent zz
br-exists fb
br-exists zz
br-to-vlan zz
port-to-br bond0
port-to-br eth1
port-to-br b1
port-to-br fb
port-to-br br0
iface-to-br b1
iface-to-br bond0
iface-to-br eth1
iface-to-br br0
br-get-external-id br0
br-get-external-id fb
br-get-external-id fb k2
br-get-external-id fb zz
get-controller br0
get-controller fb
get-controller br1
get-controller zz
get-fail-mode br0
get-fail-mode br1
get-manager
get-ssl
get-aa-mapping br0
get-aa-mapping br1
list-dp-cap netdev
list-dp-cap system
list-zone-tp netdev
list-zone-tp system
list br br0
list bridg nosuch
--if-exists list bridge nosuch
list zz
list s
list ""
list o
list Open-vSwitch
list OPEN_VSWITCH
list port e1
list port e1 eth0
list port
list interface
list controller
list manager
list qos
list queue
list mirror m
list mirror
list netflow br0
list netflow
list flow_table tbl
list autoattach br0
list ssl .
list ipfix br0
list datapath
--columns=name,tag list port
--columns=_uuid,name,ports list bridge br0 br1
-f table --columns=name,tag list port e1
-f table --columns=_uuid,name,external_ids,other_config list port eth0 e1
-f csv --columns=name,tag,external_ids,other_config list port e1 eth0
-f json --columns=_uuid,name,tag,external_ids,interfaces list port e1
-f json --columns=name,trunks,tag,trunks list port eth2
-f json --columns=name list port zz
-f html --columns=name,external_ids list port e1 eth0
-f table -d json --columns=name,tag,other_config list port e1
-f table -d bare --columns=name,tag,other_config,external_ids list port e1 eth0
-f csv -d bare --columns=name,external_ids list port eth0 bond0
-d bare --columns=name,tag,other_config,interfaces list port e1 bond0
-d json list port e1
--bare --columns=name,tag list port e1 eth0
--bare --columns=_uuid find port name=e1
--no-headings -f table --columns=name list port e1
-f table --max-column-width=8 --columns=_uuid,name list port e1
--pretty -f json --columns=name,external_ids list port eth0
-f xx list port
-d xx list port
--columns=nam,ta list port e1
--columns=zz list port e1
--columns=o list port e1
--columns=bond list port e1
--columns= list port e1
--columns=name,name list port e1
--columns=name list port e1 -- --columns=tag list port e1
-f table --columns=name list port e1 -- get port e1 tag -- --columns=tag list port e1
find port tag=5
--columns=name find port tag!=5
--columns=name find port tag=10
--columns=name find port 'tag{<}5,6'
--columns=name find port name=e1 tag=5
--columns=name find port name=e1 tag=6
--columns=name find port external_ids:a=b
--columns=name find port external_ids:a!=b
--columns=name find port external_ids:a!=c
--columns=name find port external_ids:zz=b
--columns=name find port 'external_ids:zz{!=}b'
--columns=name find port 'external_ids:a{in}b,c'
--columns=name find port 'external_ids:a{not-in}b,c'
--columns=name find port 'external_ids:a{<=}b,c'
--columns=name find port 'external_ids:a{>}b'
--columns=name find port 'external_ids={a=b}'
--columns=name find port 'external_ids{>=}{a=b}'
--columns=name find port 'external_ids{!=}{a=b}'
--columns=name find port 'tag{=}[]'
--columns=name find port 'tag>4'
--columns=name find port 'tag<=5'
--columns=name find port 'trunks<=1-10'
--columns=name find port 'trunks{>=}1'
--columns=name find port 'trunks{>=}1,2,3'
--columns=name find port 'trunks{<}1,2,3'
--columns=name find port 'trunks{not-in}1'
--columns=name find port 'trunks{in}1-5'
--columns=name find port 'name{in}e1,eth0'
--columns=name find port 'name<e2'
--columns=name find port 'name>=e2'
--columns=name find port fake_bridge=true
--columns=name find port fake_bridge=yes
--columns=name find port foo=1
--columns=name find port tag
--columns=name find port tag=x
--columns=name find port 'tag~5'
--columns=name find port name=
--columns=name find port tag:a=5
--columns=name find port tag=5000
--columns=name find bridge datapath_type=netdev
--columns=name find bridge datapath_type=\"\"
--columns=name find bridge controller=[]
--columns=name find bridge 'controller!=[]'
--columns=name find interface type=internal
--columns=name find interface 'options:a=b'
--columns=target find manager inactivity_probe=5000
get port e1 tag name external_ids external_ids:a
get port eth0 external_ids
get port bond0 external_ids:q bond_updelay lacp
get port eth0 external_ids:'"a b"'
get port eth0 external_ids:'"true"'
get port e1 external_ids:zz
--if-exists get port e1 external_ids:zz
--if-exists get port e1 tag external_ids:zz name
get port e1 zz
get port e1
get port zz name
--if-exists get port zz name
get port e1 name:a
get port
get port e1 _uuid
get open . ovs_version
get open . zz
get Open_vSwitch . _uuid
get open_v . system-type
--id=@x --if-exists get port e1
--id=x get port e1
get . . x
get port e1 tag=5
get port e1 -- get port e1 name
get port e1 name -- get port zz name
get interface e1 type
get ssl . ca_cert
get controller br0 target
get netflow br0 targets active_timeout
get qos e1 type queues
get flow_table tbl flow_limit
get mirror m select_src_port
get bridge br0 flow_tables
get bridge br0 nam
get bridge br0 rstp
get bridge br0 mcast_snooping_enable protocols
get flow_sample 1 id
get manager '"tcp:1.2.3.4"' target
get manager tcp:1.2.3.4 target
get datapath . datapath_version
get b br0 name
--id=@p get port eth0 -- --id=@p get port eth0
-- --id=@m create mirror name=m output-port=@p -- --id=@p get port e1 -- set bridge br0 mirrors=@m
wait-until bridge br0
wait-until bridge br0 name=br0
wait-until bridge br0 'name!=br1' fail_mode=secure
wait-until bridge br0 zz=1
wait-until zz br0
comment a b
comment
nosuch
--
-- --
-- --foo list-br
--foo
--foo=1 list-br
--may-exist list-br
add-br
show xx
--columns list port
--oneline list-br
--oneline -- list-br -- init -- get port e1 name tag
--oneline get port bond0 external_ids:q
--oneline --columns=name list port e1
--if-exists --if-exists del-br zz
--if-exists=1 del-br zz
--no-he -f table --col=name list port e1
list bridge 0
get bridge br0 name --
-- get bridge br0 name
set port
"""


def words(line):
    return shlex.split(line)


def lines(text):
    return [line for line in text.strip().splitlines() if line]


@pytest.fixture(scope="module", params=["ovs", "pyvs"])
def filled(request):
    """A server whose database SETUP has filled, by ovs-vsctl."""
    server = start_server(request.param)
    for line in lines(SETUP):
        status, _, err = run_peer("ovs-vsctl", server.remote, words(line))
        assert status == 0, (line, err)
    yield server
    server.stop()


def messages(text):
    """Messages without what may differ: time stamps, and the names of programs and options."""
    text = re.sub(r"^\d{4}-\S+Z\|\d+\|", "", text, flags=re.M)
    return re.sub(r"^ovs-vsctl: ", "pyvs-vsctl: ", text, flags=re.M)


def comparable(text):
    """Rows of a table come in no particular order."""
    return sorted(text.split("\n\n")) if "\n\n" in text else text


def ours(server, line):
    options = [f"--db={server.remote}", "--no-wait", "--no-syslog"]
    status, out, err = run_ours(vsctl.main, [*options, *words(line)])
    # What only ours says.
    return status, out, re.sub(r"^pyvs-vsctl: .* is not followed yet\n", "", err, flags=re.M)


@pytest.mark.parametrize("line", lines(READS))
def test_read(filled, line):
    status, out, err = run_peer("ovs-vsctl", filled.remote, words(line))
    our_status, our_out, our_err = ours(filled, line)
    assert our_status == status
    assert comparable(our_out.rstrip("\n")) == comparable(out.rstrip("\n"))
    assert messages(our_err) == messages(err)


WRITES = [
    r"""
init
add-br br0
add-br br0
--may-exist add-br br0
add-br br1
add-br fb br0 10
add-br fb br0 10
--may-exist add-br fb br0 10
--may-exist add-br fb br0 11
--may-exist add-br fb br1 11
--may-exist add-br fb
add-br fb2 br0 10
add-br fb2 fb 11
add-br fb3 br0 5000
add-br fb3 br0
add-br fb3 nobr 7
--may-exist add-br br0 br1 10
add-port br0 eth0
add-port br0 eth0
add-port br1 eth0
--may-exist add-port br1 eth0
--may-exist add-port br0 eth0
add-port nobr eth1
add-port br0 br1
add-port br0 br0
add-br eth0
add-port fb eth1
add-port br0 eth2 tag=10 trunks=1,2 -- set interface eth2 type=internal options:a=b
add-port br0 eth3 tag=x
add-port br0 eth3 nosuch=5
add-port br0 eth3 tag
add-bond br0 bond0 e1
add-bond br0 bond0 e1 tag=5
add-bond br0 bond0 e1 e2 bond_mode=active-backup
add-bond br0 bond0 e1 e2
--may-exist add-bond br0 bond0 e1 e2
--may-exist add-bond br0 bond0 e2 e1
--may-exist add-bond br0 bond0 e1 e3
--may-exist add-port br0 bond0
--fake-iface add-bond br1 bond1 e8 e9
add-port br0 e1
add-br e1
--may-exist add-bond br1 bond0 e1 e2
--may-exist add-bond br0 eth0 e1 e2
br-set-external-id br0 k v
br-set-external-id fb k v
br-set-external-id br0 k w
br-set-external-id fb k
br-set-external-id zz k
list-ports br0
list-ports fb
show-nothing
set-controller br0 tcp:1.2.3.4:6653 ptcp:
set-controller fb tcp:1.2.3.4:6653
set-controller br0 bogus:1
del-controller fb
del-controller br0
--inactivity-probe=30000 set-controller br0 tcp:1.1.1.1
set-fail-mode br0 foo
set-fail-mode fb secure
set-fail-mode br0 secure
del-fail-mode br0
set-fail-mode br1 standalone
--inactivity-probe=5000 set-manager ptcp:6640 tcp:1.2.3.4
set-manager xx
set-manager ptcp:6640
del-manager
set-manager ptcp:6641
set-ssl a b c
--bootstrap set-ssl a b c
del-ssl
set-ssl d e f
add-aa-mapping br0 10 20
add-aa-mapping br0 11 21
del-aa-mapping br0 11 20
del-aa-mapping br0 10 20
del-port zz
--if-exists del-port zz
del-port br1 eth0
del-port br0 eth1
del-port fb eth0
del-port fb eth1
del-port br0 br0
del-port br0
--if-exists del-port br0
del-port e1
--with-iface del-port e1
--with-iface del-port zz
--if-exists --with-iface del-port zz
del-port br0 fb
del-bond-iface eth0
add-bond-iface eth0 e5
add-bond-iface eth0 e5
--may-exist add-bond-iface eth0 e5
add-bond-iface eth2 e6
--may-exist add-bond-iface eth2 e5
add-bond-iface zz e7
del-bond-iface eth2 e5
del-bond-iface eth0 zz
--if-exists del-bond-iface zz
del-bond-iface eth0 e5
del-br zz
--if-exists del-br zz
add-aa-mapping br0 99999999 5
add-aa-mapping br0 1 5000
set-ssl /a /b
add-bond br0 b1 br0 x8
-- --id get port eth0
--id=@x list-br
add-br brx -- add-port brx px -- add-br fx brx 7 -- add-port fx py -- list-ports fx
del-br brx -- add-br brx -- add-port brx px
del-port px -- add-port br1 px
del-br fb
emer-reset
del-br br0
""",
    r"""
add-br br0 -- add-port br0 e1 -- add-port br0 eth0
set port e1 tag=6
set port e1 tag=6 trunks=1,2,3-5
set port e1 tag=a
set port e1 tag=5000
set port e1 tag=-1
set port e1 tag=1,2
set port e1 tag=
set port e1 tag=[]
set port e1 tag=[7]
set port e1 'tag=[7'
set port e1 'tag=[7]x'
set port e1 'tag=7]'
set port e1 name=x
set port e1 _uuid=x
set port e1 external_ids:c='"d e"'
set port e1 external_ids=x=y,z=w
set port e1 'external_ids={}'
set port e1 external_ids={x=y
set port e1 external_ids=x
set port e1 external_ids=x=
set port e1 external_ids=x=y=z
set port e1 external_ids:a
set port e1 vlan_mode=zz
set port e1 vlan_mode=access
set port zz tag=1
--if-exists set port zz tag=1
set port e1 external_ids:a=
set port e1 external_ids:a=b=c
set port e1 external_ids:a=b:c
set port e1 external_ids:d=" e "
set port e1 bond_fake_iface=maybe
set port e1 bond_fake_iface=on
set port e1 tag:a=5
set port e1 'external_ids:a{=}5'
set port e1 external_ids:a=1 external_ids:b=2
set port e1
set port e1 statistics={a=1}
set port e1 trunks=1,1
set port e1 external_ids=a=1,a=2
set port e1 'trunks=1-5000'
set port e1 'trunks=5-1'
set port e1 'trunks=1 2  3,4'
set port e1 'external_ids:"a b"=c'
set port e1 'external_ids:"a=b=c'
set port e1 'external_ids:a=b\'
set port e1 external_ids:q='"a\u00e9\n"'
set port e1 external_ids:q='"unfinished'
set interface e1 options:remote_ip=1.2.3.4 type=vxlan
set interface e1 type=a:b
set interface e1 mtu_request=1400
set interface e1 ofport_request=70000
set interface e1 ofport_request=7
set interface e1 'mac="00:11:22:33:44:55"'
set interface e1 mac=00:11:22:33:44:55
set bridge br0 protocols=OpenFlow10,OpenFlow13
set bridge br0 protocols=OpenFlow99
set bridge br0 stp_enable=true other_config:stp-priority=0x7800
set open . external_ids:system-id=abc
set Open_vSwitch . other_config:a=1 other_config:b=2
add port e1 trunks 7 8
add port e1 trunks 7,9
add port e1 external_ids z=1
add port e1 external_ids z=2
add port e1 tag 3
add port e1 name x
add port e1 trunks 1=2
--if-exists add port zz trunks 1
add port zz trunks 1
remove port e1 trunks 7
remove port e1 trunks 99
remove port e1 external_ids z
remove port e1 external_ids a=zz
remove port e1 external_ids a=1 b
remove port e1 name e1
remove port e1 tag 4
remove port e1 tag
remove interface e1 type internal
clear port e1 tag trunks
clear port e1 name
clear port zz name
set port zz name=x
clear bridge br0 stp_enable
clear port e1 zz
clear port zz tag
--if-exists clear port zz tag
create queue dscp=5
create queue
create bridge name=brx
-- --id=@b create bridge name=bry -- set b bry name=brz -- add o . bridges @b -- list-br
del-br brz
add-br ''
--may-exist add-br '' br0 3
add-port br0 ''
add-port zz ''
add-bond br0 '' x y
add-bond br0 b '' y
destroy queue
-- --id=@q create qos type=linux-htb queues:0=@z -- --id=@z create queue dscp=1
-- --id=@a create queue dscp=1 -- --id=@a create queue dscp=2
-- --id=@a create bridge name=bq
-- --id=@c create controller target=x -- set bridge br0 controller=@c
-- set port e1 qos=@nope
-- --id=foo create queue dscp=1
create queue _uuid=x
create queue dscp
create queue dscp=99
destroy queue zz
--if-exists destroy queue zz
--all destroy queue
--all destroy queue xx
destroy port e1
destroy qos xx
--all destroy qos -- --all destroy queue
-- --id=@p get port eth0 -- --id=@m create mirror name=m select-src-port=@p -- set bridge br0 mirrors=@m
-- --id=@m get mirror m -- remove bridge br0 mirrors @m
-- --id=@nf create NetFlow targets=\"1.2.3.4:5566\" active-timeout=30 -- set Bridge br0 netflow=@nf
set NetFlow br0 active_timeout=60
clear bridge br0 netflow
-- --id=@s create sFlow agent=eth1 target=\"10.0.0.1:6343\" header=128 sampling=64 polling=10 -- set Bridge br0 sflow=@s
-- --id=@i create IPFIX targets=\"1.2.3.4:4739\" obs_domain_id=123 other_config:a=false -- set Bridge br0 ipfix=@i
-- --id=@ft create Flow_Table flow_limit=100 overflow_policy=refuse -- set Bridge br0 flow_tables=0=@ft
-- --id=@ft create Flow_Table flow_limit=9 groups='"NXM_OF_IN_PORT[]"' -- set Bridge br0 flow_tables:1=@ft
set bridge br0 flow_tables=0=@ft
add-zone-tp netdev zone=1 icmp_first=1
-- --id=@d create datapath datapath_version=1 -- set open . datapaths:netdev=@d
add-zone-tp netdev zone=1 icmp_first=1 icmp_reply=2
add-zone-tp netdev zone=1 icmp_first=1 icmp_reply=2
--may-exist add-zone-tp netdev zone=1 icmp_first=1
add-zone-tp netdev zone=2 foo=1
add-zone-tp netdev zone=3 tcp_syn_sent=9
list-zone-tp netdev
del-zone-tp netdev zone=9
--if-exists del-zone-tp netdev zone=9
del-zone-tp netdev zone=1
list-zone-tp netdev
set port eth0 tag=5 -- get port eth0 tag
--dry-run add-br dry -- list-br
list-br
get port eth0 tag -- clear port eth0 tag -- get port eth0 tag
""",
    # What a command deletes is not there for the next ones of the same run.
    r"""
add-br br0 -- add-port br0 X -- set interface X type=internal
--if-exists del-port X -- add-port br0 X -- set Interface X external_ids:a=b
--if-exists del-br br0 -- add-br br0 -- set bridge br0 fail_mode=secure
--if-exists del-br br1 -- add-br br1 -- set bridge br1 fail_mode=secure -- add-port br1 X -- get port X tag
add-port br0 X -- del-port X -- get port X name
del-port X -- add-port br0 X tag=3 -- del-port X -- add-port br1 X -- get port X tag
add-port br0 p3 -- del-port p3 -- set port p3 tag=5
add-port br0 p3 -- del-port p3 -- set interface p3 type=internal
add-port br0 p3 -- del-port p3 -- --if-exists set interface p3 type=internal -- --if-exists clear port p3 tag
add-port br0 p3 -- --id=@p get port p3 -- --id=@m create mirror name=m0 select_src_port=@p -- add bridge br0 mirrors @m
del-port p3 -- get mirror m0 select_src_port -- find port name=p3 -- find interface name=p3
get mirror m0 select_src_port
add-br fb br0 9 -- add-port fb f1 -- del-br fb -- list port f1
add-br fb br0 9 -- add-port fb f1
del-br br0 -- --columns=name list bridge -- --columns=name find port name=f1 -- find interface name=br0
list-br
add-br br0 -- add-bond br0 b0 e1 e2 -- del-bond-iface b0 e1 -- get interface e1 name
add-bond br0 b0 e1 e2
del-bond-iface b0 e1 -- get interface e1 name
del-bond-iface b0 e1 -- add-port br0 e1 -- set interface e1 type=internal -- list-ifaces br0
--may-exist add-bond-iface b0 e1 -- list-ifaces br0
del-port b0 -- add-port br0 e2 -- set interface e2 mtu_request=1400
set-controller br0 tcp:1.1.1.1 -- del-controller br0 -- --columns=target list controller
set-controller br0 tcp:1.1.1.1
set-controller br0 tcp:1.1.1.2 -- --columns=target list controller -- set controller br0 max_backoff=2000
del-controller br0 -- list controller br0
set-controller br0 tcp:1.1.1.1 tcp:1.1.1.2 -- del-controller br0 -- get-controller br0 -- list controller
set-manager ptcp:6640 -- del-manager -- list manager
set-manager ptcp:6640
set-manager ptcp:6640 -- set manager ptcp:6640 inactivity_probe=5 -- get-manager
del-manager -- list manager -- set-manager ptcp:6641 -- --columns=target list manager
set-ssl a b c -- set-ssl d e f -- get ssl . ca_cert
set-ssl g h i -- get ssl . ca_cert -- del-ssl -- get-ssl -- list ssl
del-ssl -- get ssl . ca_cert
add-aa-mapping br0 1 2 -- del-aa-mapping br0 1 2 -- get-aa-mapping br0
add-aa-mapping br0 1 2 -- clear bridge br0 auto_attach -- get-aa-mapping br0
clear bridge br0 mirrors -- --id=@m create mirror name=m0 -- add bridge br0 mirrors @m -- set mirror m0 select_all=true
-- --id=@q create qos type=linux-htb queues:0=@z -- --id=@z create queue dscp=1 -- set port br0 qos=@q
clear port br0 qos -- --all destroy qos -- --all destroy queue -- list qos -- list queue
-- --id=@d create datapath datapath_version=1 -- set open . datapaths:netdev=@d
add-zone-tp netdev zone=1 icmp_first=1
destroy port e2 -- list port e2
destroy port e2 -- add-port br0 e2
destroy bridge br0 -- list-br
emer-reset -- list controller -- list mirror -- get-manager
del-br br0 -- del-br br0
del-br br0 -- set bridge br0 fail_mode=secure
""",
]


@pytest.fixture(params=["ovs", "pyvs"])
def pair(request):
    """Two servers alike, for a run of each tool."""
    servers = start_server(request.param), start_server(request.param)
    yield servers
    for server in servers:
        server.stop()


@pytest.mark.parametrize("script", WRITES, ids=["switch", "database", "deleted"])
def test_write(pair, script):
    theirs, mine = pair
    for line in lines(script):
        status, out, err = run_peer("ovs-vsctl", theirs.remote, words(line))
        our_status, our_out, our_err = ours(mine, line)
        got = (our_status, normal_uuids(our_out), normal_uuids(messages(our_err)))
        err = re.sub(r"^\S+\|ovsdb_idl\|WARN\|transaction error: .*\n", "", err, flags=re.M)
        expected = (status, normal_uuids(out), normal_uuids(messages(err)))
        if 'syntax error at "' in expected[2]:  # theirs ends with a null byte
            expected, got = expected[:2], got[:2]
        assert got == expected, line
        assert contents(mine) == contents(theirs), line
