"""A client that goes on in the background: its control socket, and notifications beside it.

    exit                                   ends it
    ovsdb-client/block, unblock            nothing is read from the server meanwhile
    ovsdb-client/cond_change TABLE COND    of a monitor with conditions: another one
    unlock LOCK                            of one that holds locks

as of ovsdb-client(1) with --detach.
"""

import select

from pyvs_tools.command import Fatal

from .client_session import PROGRAM, detach, parse_json
from .rpc import RpcError

MONITOR_ID = None  # there is only one monitor on the connection


class Background:
    """Made in the process that stays.  Raises Fatal where there can be no control socket."""

    def __init__(self, session):
        from pyvs.process import control

        self._control = control
        self._session = session
        self._is_blocked = False
        for name, usage, n, function in (
            ("ovsdb-client/block", "", 0, self._block),
            ("ovsdb-client/unblock", "", 0, self._unblock),
            ("ovsdb-client/cond_change", "TABLE COND", 2, self._change_condition),
            ("unlock", "LOCK", 1, self._unlock),
        ):
            control.command(name, usage, n, n, function)
        try:
            self._server = control.unixctl_server(PROGRAM, None)
        except OSError as error:
            raise Fatal(f"{error.filename}: no control socket ({error.strerror})") from None

    def _block(self, _args):
        if self._is_blocked:
            return "already blocking"
        self._is_blocked = True
        return ""

    def _unblock(self, _args):
        if not self._is_blocked:
            return "already unblocked"
        self._is_blocked = False
        return ""

    def _change_condition(self, args):
        """Sends it; what it changes comes as an update, and nobody waits for the reply."""
        table, text = args
        try:
            changes = {table: [{"where": parse_json(text)}]}
        except Fatal as error:
            raise self._control.CommandError(str(error)) from error
        self._session.client.post("monitor_cond_change", [MONITOR_ID, MONITOR_ID, changes])
        return "condition changed"

    def _unlock(self, args):
        try:
            self._session.print_json(self._session.client.request("unlock", args))
        except RpcError as error:
            raise self._control.CommandError(str(error)) from error

    def run(self, show):
        """Hands each notification to `show` until the command `exit`."""
        client = self._session.client
        try:
            while not self._control.exiting():
                while not self._is_blocked and (message := client.ready()) is not None:
                    show(message)
                self._server.run()
                if not self._control.exiting() and (self._is_blocked or not client.has_some()):
                    self._wait()
        finally:
            self._server.close()

    def _wait(self):
        """Until the server or the control socket has something; reads of the former."""
        from pyvs.poller import Poller

        poller, client = Poller(), self._session.client
        if not self._is_blocked:
            poller.fd_wait(client, select.POLLIN)
        self._server.wait(poller)
        poller.block()
        if not self._is_blocked and client.fileno() in poller.ready:
            client.fetch()


def follow(session, show):
    """Hands each notification to `show`: for ever, or with --detach until it is told to end."""
    is_detached = "detach" in session.options
    background = detach(session, lambda: Background(session) if is_detached else None)
    if background is not None:
        background.run(show)
        return
    while True:
        show(session.client.notification())
