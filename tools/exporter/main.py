"""pyvs-exporter: Prometheus' metrics of a switch."""

import re
import sys
import threading
import time
from collections.abc import Callable

from pyvs import rundir
from pyvs_tools import getopt_long
from pyvs_tools.command import Fatal, answered, guard
from pyvs_tools.exporter import http, reads

PROGRAM = "pyvs-exporter"
DEFAULT = "127.0.0.1:9475"
FRESH = 1.0  # seconds for which one look at the switch serves all who ask

USAGE = f"""\
{PROGRAM}: metrics of a switch for Prometheus, at http://ADDRESS/metrics
usage: {PROGRAM} [OPTIONS]

      --listen=HOST:PORT   the address to listen on (default: {DEFAULT}; [HOST]:PORT for IPv6)
      --once               print the metrics, and end
      --rundir=DIR         the run directory of the switch
  -h, --help               display this help message
  -V, --version            display version information
"""
OPTIONS = (
    ("listen", "", True), ("once", "", False), ("rundir", "", True), ("help", "h", False),
    ("version", "V", False),
)  # fmt: skip


class Scrape:
    """The metrics as text.  Several who ask at once get the same, so that however many there are
    the switch is asked once in FRESH seconds."""

    def __init__(self, look: Callable[[], reads.Seen] = reads.look):
        from prometheus_client import CollectorRegistry, generate_latest

        self._look = look
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._text = b""
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._generate = generate_latest

    def collect(self):
        """For the registry."""
        from pyvs_tools.exporter import metrics

        return metrics.families(self._look())

    def text(self) -> bytes:
        with self._lock:
            if time.monotonic() - self._at >= FRESH:
                self._text = self._generate(self._registry)
                self._at = time.monotonic()
            return self._text

    def respond(self, path: str) -> http.Answer:
        if path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", self.text()
        if path == "/":
            return 200, "text/html; charset=utf-8", b'<a href="/metrics">metrics</a>\n'
        raise http.RequestError(404)


def address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise Fatal(f"{text}: not HOST:PORT")
    return host, int(port)


def run(args: list[str]) -> int:
    found, words = getopt_long.parse(args, OPTIONS)
    options = dict(found)
    if words:
        raise Fatal("no arguments are accepted; use --help for usage")
    if answered(options, PROGRAM, USAGE):
        return 0
    rundir.use(options.get("rundir"))
    try:
        scrape = Scrape()
    except ImportError as error:
        raise Fatal(f"prometheus-client is needed: {error}") from None
    if "once" in options:
        sys.stdout.write(scrape.text().decode())
        return 0
    server = http.Server(address(options.get("listen", DEFAULT)), scrape.respond)
    print(f"listening on port {server.port}", flush=True)
    server.serve()
    return 0


def main(argv: list[str] | None = None) -> int:
    return guard(PROGRAM, run, argv)


if __name__ == "__main__":
    sys.exit(main())
