"""pyvs-ofctl: looks into and changes OpenFlow switches; see ovs-ofctl(8).

This module reads the command line; a command is a function of the module that COMMANDS names,
which is loaded only when it is called.
"""

import sys

from pyvs import identity
from pyvs_tools import getopt_long
from pyvs_tools.alarm import set_timeout
from pyvs_tools.command import Fatal, check_count, guard, version_text
from pyvs_tools.diagnostics import check_levels

from .errors import BundleError, SwitchError

PROGRAM = identity.program("pyvs-ofctl")

# long name, short letter, takes an argument
OPTIONS = (
    ("protocols", "O", True),
    ("flow-format", "F", True),
    ("packet-in-format", "P", True),
    ("more", "m", False),
    ("strict", "", False),
    ("read-only", "", False),
    ("readd", "", False),
    ("bundle", "", False),
    ("sort", "", "optional"),
    ("rsort", "", "optional"),
    ("names", "", False),
    ("no-names", "", False),
    ("stats", "", False),
    ("no-stats", "", False),
    ("tree", "", False),
    ("format", "f", True),
    ("pretty", "", False),
    ("timestamp", "", False),
    ("timeout", "t", True),
    ("color", "", "optional"),
    ("may-create", "", False),
    ("unixctl", "", True),
    ("detach", "", False),
    ("no-chdir", "", False),
    ("pidfile", "", "optional"),
    ("overwrite-pidfile", "", False),
    ("rundir", "", True),
    ("private-key", "p", True),
    ("certificate", "c", True),
    ("ca-cert", "C", True),
    ("bootstrap-ca-cert", "", True),
    ("peer-ca-cert", "", True),
    ("ssl-protocols", "", True),
    ("ssl-ciphers", "", True),
    ("verbose", "v", "optional"),
    ("log-file", "", "optional"),
    ("syslog-method", "", True),
    ("syslog-target", "", True),
    ("help", "h", False),
    ("version", "V", False),
)
_TLS = {
    "private-key": "private_key",
    "certificate": "certificate",
    "ca-cert": "ca_cert",
    "bootstrap-ca-cert": "ca_cert",
    "peer-ca-cert": "peer_ca_cert",
    "ssl-protocols": "protocols",
    "ssl-ciphers": "ciphers",
}

# name -> module, least and most arguments (None: any number), changes something
COMMANDS = {
    "show": ("switch", 1, 1, False),
    "dump-desc": ("switch", 1, 1, False),
    "dump-tables": ("switch", 1, 1, False),
    "dump-table-features": ("switch", 1, 1, False),
    "dump-table-desc": ("switch", 1, 1, False),
    "dump-ports": ("switch", 1, 2, False),
    "dump-ports-desc": ("switch", 1, 2, False),
    "queue-stats": ("switch", 1, 3, False),
    "queue-get-config": ("switch", 1, 3, False),
    "get-frags": ("switch", 1, 1, False),
    "set-frags": ("switch", 2, 2, True),
    "mod-port": ("switch", 3, 3, True),
    "mod-table": ("tables", 3, 3, True),
    "add-group": ("groups", 2, 2, True),
    "add-groups": ("groups", 2, 2, True),
    "mod-group": ("groups", 2, 2, True),
    "del-groups": ("groups", 1, 2, True),
    "insert-buckets": ("groups", 2, 2, True),
    "remove-buckets": ("groups", 2, 2, True),
    "dump-groups": ("switch", 1, 2, False),
    "dump-group-stats": ("switch", 1, 2, False),
    "dump-group-features": ("switch", 1, 1, False),
    "add-meter": ("meters", 2, 2, True),
    "mod-meter": ("meters", 2, 2, True),
    "del-meter": ("meters", 1, 2, True),
    "del-meters": ("meters", 1, 2, True),
    "dump-meter": ("meters", 1, 2, False),
    "dump-meters": ("meters", 1, 2, False),
    "meter-stats": ("meters", 1, 2, False),
    "meter-features": ("meters", 1, 1, False),
    "dump-flows": ("flows", 1, 2, False),
    "dump-aggregate": ("flows", 1, 2, False),
    "add-flow": ("flows", 2, 2, True),
    "add-flows": ("flows", 2, 2, True),
    "mod-flows": ("flows", 2, 2, True),
    "del-flows": ("flows", 1, 2, True),
    "replace-flows": ("diff", 2, 2, True),
    "diff-flows": ("diff", 2, 2, False),
    "bundle": ("bundle", 2, 2, True),
    "packet-out": ("packets", 2, None, True),
    "monitor": ("monitor", 1, 4, False),
    "snoop": ("monitor", 1, 1, False),
    "add-tlv-map": ("tunnels", 2, 2, True),
    "del-tlv-map": ("tunnels", 1, 2, True),
    "dump-tlv-map": ("tunnels", 1, 1, False),
    "dump-ipfix-bridge": ("switch", 1, 1, False),
    "dump-ipfix-flow": ("switch", 1, 1, False),
    "ct-flush-zone": ("ct", 2, 2, True),
    "ct-flush": ("ct", 1, 4, True),
    "probe": ("packets", 1, 1, False),
    "ping": ("packets", 1, 2, False),
    "benchmark": ("packets", 3, 3, False),
    "parse-flow": ("offline.parse", 1, 1, False),
    "parse-flows": ("offline.parse", 1, 1, False),
    "ofp-parse": ("offline.parse", 1, 1, False),
    "ofp-parse-pcap": ("offline.pcap", 1, None, False),
    "parse-pcap": ("offline.pcap", 1, None, False),
    "ofp-print": ("offline.parse", 1, 2, False),
    "parse-nx-match": ("offline.matches", 0, 0, False),
    "parse-nxm": ("offline.matches", 0, 0, False),
    "parse-oxm": ("offline.matches", 1, 1, False),
    "parse-ofp10-match": ("offline.matches", 0, 0, False),
    "parse-ofp11-match": ("offline.matches", 0, 0, False),
    "parse-actions": ("offline.matches", 1, 1, False),
    "parse-instructions": ("offline.matches", 1, 1, False),
    "check-vlan": ("offline.matches", 2, 2, False),
    "print-error": ("offline.codes", 1, 1, False),
    "encode-error-reply": ("offline.codes", 2, 2, False),
    "encode-hello": ("offline.codes", 1, 1, False),
    "parse-key-value": ("offline.codes", 1, None, False),
    "compose-packet": ("offline.packets", 1, 2, False),
    "parse-packet": ("offline.packets", 0, 0, False),
    "help": ("help", 0, None, False),
    "list-commands": ("help", 0, 0, False),
}


class Settings:
    """The options of a run, and how sessions are made from them."""

    commands = COMMANDS

    def __init__(self, found):
        self.options = dict(found)
        self.more = sum(name == "more" for name, _ in found)
        self.sort_keys = [(name, value) for name, value in found if name in ("sort", "rsort")]
        self.names_option = next(
            (name for name, _ in reversed(found) if name in ("names", "no-names")), None
        )
        self.stats = self._last(found, "stats", "no-stats") != "no-stats"
        self.versions = _versions(self.options.get("protocols"))
        self.bundles = "bundle" in self.options
        if self.bundles:
            self.use_bundles()

    @staticmethod
    def _last(found, *names):
        return next((name for name, _ in reversed(found) if name in names), None)

    def __contains__(self, option):
        return option in self.options

    @property
    def accepts_names(self) -> bool:
        """Whether ports may be named in arguments."""
        return self.names_option != "no-names"

    @property
    def shows_names(self) -> bool:
        """Whether ports are shown by name."""
        return self.names_option == "names" or (self.names_option is None and sys.stdout.isatty())

    @property
    def colored(self) -> bool:
        """Whether flows are shown in colors.  Raises Fatal."""
        if "color" not in self.options:
            return False
        from .colors import wanted

        return wanted(self.options["color"] or "")

    @property
    def json(self) -> bool:
        return self.options.get("format", "text") == "json"

    @property
    def tls(self):
        from pyvs_tools.ovsdb.methods import Tls

        tls = Tls()
        for option, attribute in _TLS.items():
            if option in self.options:
                setattr(tls, attribute, self.options[option])
        tls.bootstrap = "bootstrap-ca-cert" in self.options
        return tls

    def use_bundles(self):
        """Speak only what has bundles."""
        from .bundle import DEFAULT_VERSIONS, VERSIONS

        self.versions = (self.versions or DEFAULT_VERSIONS) & VERSIONS or DEFAULT_VERSIONS

    def connect(self, target, prefer=1):
        """A Session; `prefer` is the version that is taken without -O."""
        from .session import Session

        session = Session(target, self.tls, self.versions, prefer)
        session.bundles = self.bundles
        return session

    def numbers(self, session):
        """Port numbers by name, for parsers; None with --no-names."""
        from .session import LazyNumbers

        return LazyNumbers(session) if self.accepts_names else None

    def style(self, session=None, more=1):
        """How messages are printed: with names of the session's switch where they are shown."""
        from ofproto.text.message_text import Style

        names = session.names() if session and self.shows_names else None
        return Style(names, more=more + self.more)

    def print_json(self, value):
        import orjson

        pretty = orjson.OPT_INDENT_2 if "pretty" in self else 0
        sys.stdout.write(orjson.dumps(value, option=pretty).decode() + "\n")


def _versions(text):
    """Wire versions of -O that are spoken here; None when nothing is given."""
    words = [word for word in (text or "").split(",") if word]
    if not words:
        return None
    from .session import SPOKEN, VERSIONS

    known = {name.lower(): number for name, number in VERSIONS.items()}
    for word in words:
        if word.lower() not in known:
            raise Fatal(f'Unknown OpenFlow version: "{word}"')
    spoken = frozenset(known[word.lower()] for word in words) & SPOKEN
    if not spoken:
        names = ", ".join(name for name, number in VERSIONS.items() if number in SPOKEN)
        raise Fatal(f"none of these OpenFlow versions is supported: {text} (supported: {names})")
    return spoken


def _version_text():
    return version_text(PROGRAM) + "OpenFlow versions 0x1:0x6\n"


def _check(name, words, settings):
    """The row of a command whose arguments are of a number that it takes."""
    row = COMMANDS.get(name)
    if row is None:
        raise Fatal(f"unknown command '{name}'; use --help for help")
    _module, least, most, changes = row
    check_count(name, words, least, most)
    if changes and "read-only" in settings:
        raise Fatal(f"'{name}' command does not work in read only mode")
    if settings.options.get("format", "text") not in ("text", "json"):
        raise Fatal(f'unknown output format "{settings.options["format"]}"')
    return row


def run(argv):
    """Do what the command line says; returns the exit status."""
    found, words = getopt_long.parse(argv, OPTIONS, permute=True)
    check_levels("pyvs-ofctl", found)
    options = dict(found)
    if "help" in options:
        from . import help

        help.help(None)
        return 0
    if "version" in options:
        sys.stdout.write(_version_text())
        return 0
    if not words:
        raise Fatal("missing command name; use --help for help")
    name, *words = words
    settings = Settings(found)
    if name == "bundle":
        settings.use_bundles()
    module = _check(name, words, settings)[0]
    if "flow-format" in options:
        from .flows import allowed_formats

        allowed_formats(settings)  # also of commands that need none
    set_timeout(options.get("timeout"))
    if "rundir" in options:
        from pyvs import rundir

        rundir.use(options["rundir"])
    from importlib import import_module

    from . import log

    log.start(found)
    function = getattr(import_module(f".{module}", __package__), name.replace("-", "_"))
    return function(settings, *words) or 0


def _print_refusal(error):
    """What the switch answered, as ovs-ofctl shows it; nothing is left to say."""
    from ofproto.text.message_text import Style, format_raw

    sys.stdout.flush()
    sys.stderr.write(format_raw(error.raw, Style()))
    return ""


def _print_bundle(error):
    """Each message that was refused, and why, as ovs-ofctl shows it."""
    from ofproto.codec import messages as m
    from ofproto.text.message_text import Style, format_raw

    from .session import method_of

    sys.stdout.flush()
    requests = {raw[4:8]: raw for raw in error.requests}
    for raw in error.errors:
        refusal = m.decode(raw)
        about = requests.get(raw[4:8], refusal.data)
        text = format_raw(about, Style(more=1))
        sys.stderr.write(f"Error {refusal.name} for: {text}")
    return f"talking to {method_of(error.session.target)} (Protocol error)"


def main(argv=None):
    """The command; returns the exit status."""
    return guard(PROGRAM, run, argv, [(SwitchError, _print_refusal), (BundleError, _print_bundle)])
