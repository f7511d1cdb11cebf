"""The relay service model (ovsdb(7)): a copy of another server's database in memory.

Clients read and monitor the copy; transactions that may write go on to that server.
"""

from collections.abc import Callable
from typing import Any

import ovs.vlog

from ovsdb.data.database import Database
from ovsdb.data.errors import OvsdbError
from ovsdb.data.schema import DatabaseSchema
from ovsdb.followers.upstream import Follower, Upstream, split_servers
from ovsdb.serving.server import Loop

vlog = ovs.vlog.Vlog("relay")

# Transactions on their way to the server: those that wait for a connection, those that wait for
# an answer, and the bytes that it has not taken.
MAX_WAITING = 1000
MAX_OUTSTANDING = 10_000
MAX_BYTES = 32 * 1024 * 1024

LOCAL_OPERATIONS = frozenset(("select", "comment"))


class Relay:
    """Keeps `database` a copy of the one of that name on one of `servers`."""

    def __init__(self, loop: Loop, name: str, servers: list[str]):
        self.loop = loop
        self.database = Database(DatabaseSchema(name, "", ""))
        self.database.relay = self
        self.database.ready = False
        self.connected = False
        self._waiting: list[tuple[list, Callable[[Any, Any], None], Any]] = []
        self._servers = servers
        self._upstream: Upstream | None = None

    @classmethod
    def parse(cls, loop: Loop, text: str) -> "Relay":
        """A relay of "relay:DB:SERVER[,SERVER]..."; ValueError."""
        _relay, _colon, rest = text.partition(":")
        name, colon, servers = rest.partition(":")
        if not name or not colon:
            raise ValueError(f"{text}: expected relay:DB:SERVER")
        return cls(loop, name, split_servers(servers))

    def start(self) -> None:
        """Connect; the database is one of the service's by now."""
        self._upstream = Upstream(self.loop, self._servers, lambda name: _Copy(name, self))

    @staticmethod
    def is_local(operations: list) -> bool:
        """Whether a transaction can be answered from the copy."""
        return all(type(each) is dict and each.get("op") in LOCAL_OPERATIONS for each in operations)

    def forward(self, operations: list, done: Callable[[Any, Any], None], client: Any) -> bool:
        """Have a transaction executed there; now, or when there is a connection and `client`
        has not gone.  False: too many wait already."""
        follower = self._upstream.follower if self._upstream is not None else None
        if self.connected and follower is not None:
            if follower.outstanding >= MAX_OUTSTANDING or follower.backlog > MAX_BYTES:
                return False
            follower.request("transact", [self.database.name, *operations], done)
            return True
        if len(self._waiting) >= MAX_WAITING:
            self._waiting = [each for each in self._waiting if not each[2].closed]
            if len(self._waiting) >= MAX_WAITING:
                return False
        self._waiting.append((operations, done, client))
        return True

    def got_schema(self, json: Any) -> None:
        """Take over the schema, if it is another one; OvsdbError."""
        schema = DatabaseSchema.from_json(json)
        if self.database.ready and schema.to_json() == self.database.schema.to_json():
            return
        service = self.loop.service
        service.cancel_database(self.database)
        self.database.set_schema(schema)
        self.database.ready = True
        service.schema_changed(self.database)
        service.notify_sessions(except_for=None)

    def set_connected(self, connected: bool) -> None:
        """The copy is true from now on, or may grow old."""
        self.connected = connected
        self.loop.service.set_connected(self.database, connected)
        if connected:
            waiting, self._waiting = self._waiting, []
            for operations, done, client in waiting:
                if not client.closed and not self.forward(operations, done, client):
                    done(None, {"error": "resources exhausted"})

    def close(self) -> None:
        """Stop following."""
        if self._upstream is not None:
            self._upstream.close("the relay was removed")
            self._upstream = None


class _Copy(Follower):
    """The relay's end of its connection."""

    def __init__(self, name: str, relay: Relay):
        super().__init__(name)
        self.relay = relay

    def start(self) -> None:
        # Without this, a conversion there would end the connection only later.
        self.request("set_db_change_aware", [True], lambda _result, _error: None)
        self.request("get_schema", [self.relay.database.name], self._got_schema)

    def _got_schema(self, schema: Any, error: Any) -> None:
        if error is not None:
            self.close(f"get_schema failed: {error}")
            return
        try:
            self.relay.got_schema(schema)
        except OvsdbError as failed:
            self.close(str(failed))
            return
        self.copy(self.relay.database, set())

    def copied(self, database: Database) -> None:
        self.relay.set_connected(True)

    def notified(self, method: str, params: list) -> None:
        if method == "monitor_canceled":
            self.close("the database has another schema now")
        else:
            super().notified(method, params)

    def ended(self) -> None:
        super().ended()
        if self.relay.connected:
            self.relay.set_connected(False)
