"""Colors for flows as text: ovs-ofctl(8), --color and OVS_COLORS."""

import os
import re
import sys

from pyvs_tools.command import Fatal

WHEN = ("always", "never", "auto")
_DEFAULTS = {
    "ac": "1;31",
    "dr": "34",
    "le": "31",
    "pm": "36",
    "pr": "35",
    "sp": "33",
    "vl": "32",
}
_SGR = re.compile(r"[0-9;]*")
# Keywords that ovs-ofctl(8) names as special, and words without value that have a color of theirs.
_SPECIAL = {"table", "priority", "load", "output", "move", "group", "set_field"}
_PLAIN = {"CONTROLLER"}
_PARENTHESES = {"learn": "le", "check_pkt_larger": "pm", "output": "sp"}
_LONE = {
    *("ip", "ipv6", "icmp", "icmp6", "icmpv6", "tcp", "tcp6", "udp", "udp6", "sctp", "sctp6"),
    *("arp", "rarp", "mpls", "mplsm", "eth", "commit", "force", "random", "hash", "persistent"),
    *("clear_actions", "dec_mpls_ttl", "dec_nsh_ttl", "pop_queue", "pop_vlan", "strip_vlan"),
    *("copy_ttl_in", "copy_ttl_out", "ct_clear", "pause", "delete_learned"),
}
_WORDS = {"drop": "dr", "exit": "sp", "dec_ttl": "pr", "ct": "pr"} | dict.fromkeys(_LONE, "vl")
_TERM = re.compile(
    r"(?P<arrow>->)|(?P<word>[A-Za-z_][\w.]*(?:\[[\d.]*\](?==))?)(?P<sep>[=:(]?)|(?P<rest>[^A-Za-z_(),]+|.)",
    re.DOTALL,
)
_VALUE = re.compile(r"(?:[^,\s()]|\([^()]*\))*")


def wanted(when: str | None) -> bool:
    """Whether `when`, the argument of --color (None: there is no option, "": without one), asks for
    colors."""
    if when is None:
        return False
    if when not in ("", *WHEN):
        raise Fatal(f"incorrect value `{when}' for --color")
    if when in ("", "auto"):
        return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return when == "always"


def capabilities(text: str) -> dict[str, str]:
    """The colors, as OVS_COLORS changes them; what it says wrongly is left out."""
    found = dict(_DEFAULTS)
    for each in text.split(":"):
        name, equals, value = each.partition("=")
        if equals and name in found and _SGR.fullmatch(value):
            found[name] = value
    return found


class Colors:
    """Flows' text with the colors of the environment."""

    def __init__(self) -> None:
        self._starts = {
            name: f"\33[{code}m\33[K"
            for name, code in capabilities(os.environ.get("OVS_COLORS", "")).items()
        }

    def _in(self, color: str, text: str) -> str:
        return f"{self._starts[color]}{text}\33[m\33[K"

    def flow(self, text: str) -> str:
        """A line of a flow: matches, then actions."""
        parts: list[str] = []
        open_as: list[str | None] = []  # the color of each parenthesis that is open
        at = 0
        while at < len(text):
            found = _TERM.match(text, at)
            assert found is not None  # its last branch takes any character
            at = found.end()
            if found["word"]:
                at = self._word(text, found, parts, open_as)
            elif found["arrow"]:
                parts.append(self._in("sp", "->"))
            elif found["rest"] == ")" and open_as:
                color = open_as.pop()
                parts.append(")" if color is None else self._in(color, ")"))
            else:
                if found["rest"] == "(":
                    open_as.append(None)
                parts.append(found["rest"])
        return "".join(parts)

    def _word(self, text, found, parts, open_as) -> int:
        """A word and the value behind it; returns where the text goes on."""
        word, separator, end = found["word"], found["sep"], found.end()
        if separator == "(":
            return self._open(text, found, parts, open_as)
        if not separator:
            color = "vl" if word == "send_flow_rem" and open_as else _WORDS.get(word)
            parts.append(word if color is None else self._in(color, word))
            return end
        if word == "actions":
            parts.append(self._in("ac", word + separator))
            return end
        if word in _PLAIN:
            parts.append(word + separator)
        else:
            parts.append(self._in("sp" if word in _SPECIAL else "pm", word + separator))
        stop = _VALUE.match(text, end).end()
        arrow = self._in("sp", "->")
        parts.append(text[end:stop].replace("->", arrow))
        return stop

    def _open(self, text, found, parts, open_as) -> int:
        """As _word(), of one with arguments in parentheses."""
        word, end = found["word"], found.end()
        color = _PARENTHESES.get(word, "pr")
        if word == "output":  # nothing within has a color
            parts.append(self._in(color, word))
            stop = max(text.find(")", end) + 1, end)
            parts.append(text[end - 1 : stop])
            return stop
        if word in ("dec_ttl", "nat"):
            parts += (self._in(color, word), self._in(color, "("))
        else:
            parts.append(self._in(color, f"{word}("))
        if word == "check_pkt_larger":
            stop = _VALUE.match(text, max(text.find(")", end) + 1, end)).end()
            parts.append(text[end:stop])
            return stop
        open_as.append(color)
        return end
