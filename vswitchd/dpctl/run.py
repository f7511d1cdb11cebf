"""What each command of dpctl is given: its options, the connection, and where its text goes."""

from collections.abc import Iterator

from pyvs.named_files import lines_of

MOST_FROM_FILE = 64 << 20  # bytes
MOST_LINE = 1 << 14  # characters: as of a command, unixctl.MOST_TEXT


class DpctlError(Exception):
    """The command cannot be done; its text is for the user."""


class Unread(DpctlError):
    """What was given cannot be read.  Of vswitchd's commands that is no error but the answer, as
    in Open vSwitch: ovs-appctl exits with 0."""


# Options of the commands themselves: long name, short letter, takes an argument.
OPTIONS = (
    ("statistics", "s", False),
    ("more", "m", False),
    ("names", "", False),
    ("no-names", "", False),
    ("may-create", "", False),
    ("read-only", "", False),
    ("clear", "", False),
)


class Run:
    """What a command gets: options, the connection, where text goes.

    Who runs commands gives it a `dpif`, print() and complain().
    """

    prefix = ""  # of the commands' names

    def __init__(self, options):
        """`options`: a dictionary by the long names of OPTIONS, and "format"."""
        self.options = options
        self._ports = None
        self.chosen = None  # TYPE@NAME of another datapath than the switch's,
        self.of_chosen = None  # and the connection to it

    def __contains__(self, option):
        return option in self.options

    @property
    def main(self):
        """The connection to the datapath process."""
        raise NotImplementedError

    @property
    def dpif(self):
        """The connection to the datapath that is meant."""
        return self.main if self.of_chosen is None else self.of_chosen

    def close(self):
        """The command is done."""
        if self.of_chosen is not None:
            self.of_chosen.close()

    def print(self, text):
        """Put out a part of the answer."""
        raise NotImplementedError

    def complain(self, text):
        """Tell of one of several things that failed."""
        raise NotImplementedError

    def lines(self, path) -> Iterator[str]:
        """Of a file that a daemon was told to read, as they are asked for; "-" is none.  Raises
        OSError when the first one is."""
        if path == "-":
            raise DpctlError("-: there is no standard input here")
        return lines_of(path, MOST_FROM_FILE)

    def ports(self):
        """port_dump(), asked for once."""
        if self._ports is None:
            self._ports = self.dpif.port_dump()
        return self._ports

    def ports_changed(self):
        """Ports of the datapath were added or removed."""

    def seen(self, info):
        """A FlowInfo with what is known of the packet that the flow was made for."""
        return info

    def given(self, ufid, key, framed):
        """A flow is in the datapath: its key as it was given, and whether it named a frame."""

    def shown_names(self):
        """Port names by number where the output is to have them, else None."""
        if "names" in self or ("more" in self and "no-names" not in self):
            return {port.port_no: port.name for port in self.ports()}
        return None

    def json(self, value):
        """The text of a value, in lines where that is wanted."""
        import orjson

        pretty = orjson.OPT_INDENT_2 if "pretty" in self else 0
        return orjson.dumps(value, option=pretty).decode()

    def print_json(self, value):
        self.print(self.json(value) + "\n")

    def wants_json(self):
        return self.options.get("format", "text") == "json"


class JsonArray:
    """An array that goes out row by row: a million flows at once would be gigabytes."""

    def __init__(self, run):
        self._run = run
        self._before = "["
        self._indent = "\n  " if "pretty" in run else ""

    def add(self, row):
        text = self._run.json(row)
        if self._indent:
            text = text.replace("\n", self._indent)
        self._run.print(f"{self._before}{self._indent}{text}")
        self._before = ","

    def end(self):
        empty = self._before == "["
        newline = "\n" if self._indent and not empty else ""
        self._run.print(("[" if empty else "") + newline + "]\n")
