"""Stand-ins for datapath, OpenFlow switch and kernel that record what vswitchd asks of them."""

import errno
from types import SimpleNamespace

from ofproto.flows.odp.timeouts import TimeoutPolicies
from ofproto.peers.controller import ControllerStatus
from ofproto.port import PortNumbers
from vswitchd.devices.links import IFF_LOWER_UP, IFF_UP, Link


class FakeDpif:
    def stranger(self):
        return None

    def close(self):
        pass


class FakeBacker:
    def __init__(self, dpif, reopen, held=False):
        self.dpif = dpif
        self.reopen = reopen
        self.held = held
        self.calls = []
        self.timeouts = TimeoutPolicies()
        vports = SimpleNamespace(by_name={})
        self.ports = SimpleNamespace(vports=vports, renewed=0, dead=list)
        self.flows = SimpleNamespace(set_underlay=lambda underlay: None)

    def need_revalidate(self):
        self.calls.append("need_revalidate")

    def some_bridges_done(self):
        self.calls.append("some_bridges_done")

    def first_reconcile_done(self):
        self.calls.append("first_reconcile_done")

    def tune(self, *values):
        self.calls.append(("tune", *values))

    def set_lookup(self, *settings):
        """There are no workers here."""

    def set_measuring(self, wanted):
        """There are no workers here."""

    def set_vlan_limit(self, limit):
        """See Backer."""

    def set_kernel_cache(self, wanted):
        self.kernel_cache = wanted

    def attempt(self, request):
        """There are no workers here."""

    def run(self, now):
        pass

    def wait(self, poller):
        pass

    def close(self, keep=True):
        self.calls.append(("close", keep))


class FakeOfproto:
    """Gives numbers as ofproto does; `refuse` maps names to what port_add raises."""

    slices_left = 0  # of what takes over flows of before
    first_slices = 0  # that were longer than others

    def __init__(self, name, backer, refuse, links):
        self.name = name
        self.backer = SimpleNamespace(ports=SimpleNamespace(vports=SimpleNamespace(by_name={})))
        self.links = links
        self.ifindexes = {}
        self.datapath_id = None
        self.calls = []
        self.set_queues = self.set_policers = lambda *arguments: None
        self.xbridge = SimpleNamespace(sampling=None, underlay=None, snooping=None)
        self.mirrors = SimpleNamespace(set=lambda settings: None, counts=dict)
        self.ports = {}
        self.bundles = {}
        self.bond_settings = {}
        self.bond_loads = [0] * 256
        self.controllers = []
        self.connected = set()
        self._numbers = PortNumbers()
        self._refuse = refuse

    @property
    def restoring(self):
        return self.slices_left > 0

    def restore_some(self, seconds=0):
        self.slices_left -= 1
        self.first_slices += seconds > 0

    def port_add(self, name, type_, request=None, options=None, avoid=(), tunnel=None):
        self.calls.append(("port_add", name, type_))
        if name in self._refuse:
            raise self._refuse[name]
        number = 0xFFFE if name == self.name else self._numbers.take(request, avoid)
        self.ports[name] = SimpleNamespace(number=number, type=type_, hw_addr=bytes(6), state=None)
        return number

    def port_del(self, number):
        self._take_out("port_del", number)

    def port_set_aside(self, number):
        self._take_out("port_set_aside", number)

    def drop_set_aside(self):
        pass

    def _take_out(self, how, number):
        for name, port in list(self.ports.items()):
            if port.number == number:
                self.calls.append((how, name))
                del self.ports[name]
                self._numbers.free(number)

    def port_update(self, name, **state):
        self.ports[name].state = state

    def port_ifindex(self, number):
        """What `ifindexes` says, by the port's name; else that of the device of its name."""
        [name] = [name for name, port in self.ports.items() if port.number == number]
        if name in self.ifindexes:
            return self.ifindexes[name]
        link = self.links.get(name)
        return link.ifindex if link else 0

    def patch_is_linked(self, number):
        return True

    def port_by_name(self, name):
        return self.ports.get(name)

    def all_port_stats(self):
        return {
            port.number: {"rx_packets": port.number, "tx_packets": 0, "duration_sec": 1}
            for port in self.ports.values()
        }

    def port_stats(self, number):
        return self.all_port_stats()[number]

    @property
    def bonds(self):
        """The bridge's bonds are those of this fake."""
        return self

    def set(self, key, settings):
        self.bond_settings[key] = settings

    def loads(self, key):
        return self.bond_loads

    def announce(self, key):
        self.calls.append(("announce", key))

    def bundle_set(self, key, name, ofp_ports, *settings, **more):
        self.calls.append(("bundle_set", key))
        self.bundles[key] = (ofp_ports, *settings)

    def bundle_del(self, key):
        self.calls.append(("bundle_del", key))
        del self.bundles[key]

    def set_datapath_id(self, value):
        self.datapath_id = value

    def set_controllers(self, controllers):
        self.calls.append(("set_controllers", len(controllers)))
        self.controllers = controllers

    def controller_status(self):
        return [
            ControllerStatus(
                each.target,
                each.target in self.connected,
                "other" if each.target in self.connected else None,
                {"state": "ACTIVE" if each.target in self.connected else "BACKOFF"},
            )
            for each in self.controllers
        ]

    def set_bundle_timeout(self, seconds):
        pass

    def set_in_band_managers(self, managers):
        pass

    def __getattr__(self, name):
        if name not in (
            "set_fail_mode",
            "set_protocols",
            "set_tables",
            "set_mac_table",
            "set_desc",
            "set_flood_vlans",
            "set_forward_bpdu",
            "set_in_band",
            "set_snooping",
            "set_queues",
            "set_policers",
        ):
            raise AttributeError(name)
        return lambda *values: self.calls.append((name, *values))

    def run(self, now):
        pass

    def wait(self, poller):
        pass

    def destroy(self, delete=True, keep_journal=False):
        self.calls.append(("destroy", "keep_journal" if keep_journal else delete))


class FakeLinks:
    """A kernel without devices, until the test adds some."""

    def __init__(self):
        self.by_name = {}
        self.changed = set()
        self._next = 10

    def get(self, name):
        return self.by_name.get(name)

    def by_index(self, ifindex):
        return next((each for each in self.by_name.values() if each.ifindex == ifindex), None)

    def run(self):
        return False

    def take_changed(self):
        names, self.changed = self.changed, set()
        return names

    def wait(self, poller):
        pass

    def close(self):
        pass

    def add(self, name, mtu=1500, up=True):
        """A new device of this name: its ifindex is new, too."""
        self._next += 1
        flags = IFF_UP | IFF_LOWER_UP if up else 0
        mac = f"02:00:00:00:{self._next >> 8:02x}:{self._next & 255:02x}"
        self.by_name[name] = Link(self._next, name, mac, mtu, flags, "veth", 1)
        self.changed.add(name)

    def change(self, name, **values):
        self.by_name[name] = self.by_name[name]._replace(**values)
        self.changed.add(name)

    def remove(self, name):
        del self.by_name[name]
        self.changed.add(name)


def no_device(name):
    return OSError(errno.EBUSY, f"{name}: Device or resource busy")
