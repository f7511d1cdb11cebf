"""The flow key's layout read from datapath/flow.pxd, for codec tests where the extension module
is not built.  Member sizes follow the C types; the struct has no hidden padding."""

import pathlib
import re
import sys
import types

_SIZES = {"uint8_t": 1, "uint16_t": 2, "uint32_t": 4, "uint64_t": 8}
_LINE = re.compile(r"^\s+(uint\d+_t|vlan_tag) (\w+)(?:\[(\d+)\])?(?:\s|$)")


def members():
    """(name -> (offset, size), size of the key) as datapath.flow.MEMBERS has them."""
    text = (pathlib.Path(__file__).parents[2] / "datapath" / "flow.pxd").read_text()
    body = text.split("ctypedef struct flow_key:", 1)[1].split("    enum:", 1)[0]
    found, offset = {}, 0
    for line in body.splitlines():
        parts = _LINE.match(line)
        if not parts:
            continue
        kind, name, count = parts[1], parts[2], int(parts[3] or 0)
        if kind == "vlan_tag":
            for i in range(count):
                found[f"vlan{i}_tpid"] = (offset, 2)
                found[f"vlan{i}_tci"] = (offset + 2, 2)
                offset += 4
        elif name in ("regs", "mpls_lse", "nsh_context"):
            short = "reg" if name == "regs" else name
            for i in range(count):
                found[f"{short}{i}"] = (offset, 4)
                offset += 4
        else:
            size = _SIZES[kind] * (count or 1)
            found[name] = (offset, size)
            offset += size
    return found, offset


def install():
    """Provide a datapath.flow with MEMBERS and KEY_SIZE when the real one cannot be imported."""
    try:
        import datapath.flow
    except ImportError:
        module = types.ModuleType("datapath.flow")
        module.MEMBERS, module.KEY_SIZE = members()
        sys.modules["datapath.flow"] = module
        import datapath

        datapath.flow = module
