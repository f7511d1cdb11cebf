"""What the arguments of dpctl's commands are, as `list-commands` shows them."""

import re

_DP = "[dp]"
# By name, where there is more to say than which datapath is meant
ARGUMENTS = {
    "add-dp": "dp [iface...]",
    "del-dp": "dp",
    "add-if": "dp iface...",
    "del-if": "dp iface...",
    "set-if": "dp iface...",
    "dump-dps": "",
    "show": "[-s] [dp...]",
    "dump-flows": "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]",
    "add-flow": "[dp] flow actions",
    "mod-flow": "[dp] flow actions",
    "get-flow": "[dp] ufid",
    "del-flow": "[dp] flow",
    "add-flows": "[dp] file",
    "mod-flows": "[dp] file",
    "del-flows": "[dp] [file]",
    "dump-conntrack": "[-m] [-s] [dp] [zone=N]",
    "flush-conntrack": "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]",
    "cache-set-size": "dp cache <size>",
    "ct-stats-show": "[dp] [zone=N]",
    "ct-bkts": "[dp] [gt=N]",
    "ct-set-maxconns": "[dp] maxconns",
    "ct-set-sweep-interval": "[dp] ms",
    "ct-set-limits": "[dp] [default=L] [zone=N,limit=L]...",
    "ct-del-limits": "[dp] zone=N1[,N2]...",
    "ct-get-limits": "[dp] [zone=N1[,N2]...]",
    "ipf-set-enabled": "[dp] v4|v6",
    "ipf-set-disabled": "[dp] v4|v6",
    "ipf-set-min-frag": "[dp] v4|v6 minfragment",
    "ipf-set-max-nfrags": "[dp] maxfrags",
    "list-commands": "",
    "parse-actions": "actions",
    "normalize-actions": "actions",
}


def arguments(name: str) -> str:
    """Of the command `name`."""
    return ARGUMENTS.get(name, _DP)


def takes_datapath(name: str) -> bool:
    return "dp" in re.findall(r"\w+", arguments(name))


def needs_datapath(name: str) -> bool:
    return arguments(name).startswith("dp ")
