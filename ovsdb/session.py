"""One client's JSON-RPC session (RFC 7047 section 4), without a socket.

The owner feeds received bytes with receive(), calls process(), and writes what collects in
`output` to the client, telling written().  `closed` says why the session is to be closed,
when it is.
"""

from collections.abc import Callable
from typing import Any

import orjson
import ovs.vlog

from ovsdb.database import Database
from ovsdb.datum import is_id, is_uuid
from ovsdb.errors import OvsdbError, syntax_error
from ovsdb.framing import FramingError, JsonStream
from ovsdb.monitor import Monitor, notification
from ovsdb.service import Service, Waiting
from pyvs import coverage

vlog = ovs.vlog.Vlog("jsonrpc_server")

# A client that is behind by more than this, and does not read, is disconnected.
MAX_BACKLOG = 64 * 1024 * 1024
RECEIVED = coverage.counter("jsonrpc_received")
OVERFLOWS = coverage.counter("jsonrpc_backlog_overflow")
PROBE_ID = "echo"


class Session:
    """The protocol state of one client."""

    def __init__(self, service: Service, name: str, read_only: bool = False):
        self.service = service
        self.name = name
        self.read_only = read_only
        self.change_aware = False
        self.output: list[bytes] = []
        self.backlog = 0  # bytes in `output`
        self.closed: str | None = None
        self.monitors: dict[bytes, Monitor] = {}
        # Called when output appears, so that the owner looks at this session.
        self.on_output: Callable[[], None] | None = None
        # Replies of any size are the client's own wish; updates are not, and are limited.
        self._excused = 0
        self._stream = JsonStream()
        service.sessions.add(self)

    # --- bytes in

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; they are acted upon in process()."""
        self._stream.feed(data)

    def process(self, now: float, limit: int) -> bool:
        """Handle up to `limit` messages; whether there may be more.

        `now` in monotonic milliseconds.
        """
        for _ in range(limit):
            if self.closed:
                return False
            try:
                message = self._stream.next()
            except FramingError as error:
                self._protocol_error(str(error))
                return False
            if message is None:
                return False
            RECEIVED.count += 1
            self._handle(message, now)
        return True

    def _handle(self, message: Any, now: float) -> None:
        method = message.get("method")
        if method is None and ("result" in message or "error" in message):
            return  # the answer to a probe
        params = message.get("params")
        id_json = message.get("id")
        if type(method) is not str or type(params) is not list:
            self._protocol_error('a request must have a string "method" and an array "params"')
            return
        if id_json is None:
            if method == "cancel" and params:
                self.service.cancel(self, params[0])
            return
        function = METHODS.get(method)
        if function is None:
            self.reply_error(id_json, "unknown method")
            return
        try:
            result = function(self, params, id_json, now)
        except OvsdbError as error:
            self.reply_error(id_json, error.to_json())
            return
        if result is not LATER:
            self.reply(id_json, result)

    def _protocol_error(self, details: str) -> None:
        vlog.warn(f"{self.name}: {details}")
        self.reply_error(None, {"error": "syntax error", "details": details})
        self.close(details)

    # --- bytes out

    def send(self, data: bytes) -> None:
        """Queue bytes for the client, unless it is too far behind."""
        if self.closed:
            return
        if self.on_output is not None and not self.output:
            self.on_output()
        self.output.append(data)
        self.backlog += len(data)
        if self.backlog - self._excused > MAX_BACKLOG:
            OVERFLOWS.count += 1
            vlog.warn(
                f"{self.name}: client does not read, disconnecting it with"
                f" {self.backlog} bytes of backlog"
            )
            self.output.clear()
            self.backlog = 0
            self.close("backlog overflow")

    def written(self, count: int) -> None:
        """The owner wrote `count` bytes of `output` to the client."""
        self.backlog -= count
        self._excused = min(self._excused, self.backlog)

    def reply(self, id_json: Any, result: Any) -> None:
        """Answer a request."""
        data = orjson.dumps({"id": id_json, "result": result, "error": None})
        self._excused = self.backlog + len(data)
        self.send(data)

    def reply_error(self, id_json: Any, error: Any) -> None:
        """Refuse a request."""
        self.send(orjson.dumps({"id": id_json, "result": None, "error": error}))

    def notify(self, method: str, params: list) -> None:
        """Send a notification."""
        self.send(orjson.dumps({"id": None, "method": method, "params": params}))

    def probe(self) -> None:
        """Ask whether the client is there: any answer is one."""
        self.send(orjson.dumps({"id": PROBE_ID, "method": "echo", "params": []}))

    def close(self, reason: str) -> None:
        """Mark the session closed; what is in `output` may still be written."""
        if self.closed:
            return
        self.closed = reason
        if self.on_output is not None:
            self.on_output()

    def ended(self) -> None:
        """The connection is gone: nobody else shall wait for this session."""
        self.closed = self.closed or "connection closed"
        for monitor in self.monitors.values():
            fanout = self.service.fanouts.get(monitor.database.name)
            if fanout is not None:
                fanout.remove(monitor)
        self.monitors.clear()
        self.service.forget(self)

    def owns_lock(self, name: str) -> bool:
        """For "assert"."""
        return self.service.owns(self, name)

    # --- methods: (params, id, now) -> result

    def _database(self, params: list, method: str) -> Database:
        if not params or type(params[0]) is not str:
            raise syntax_error(f"{method} request params must begin with <db-name>", params)
        database = self.service.databases.get(params[0])
        if database is None:
            raise OvsdbError(
                "unknown database",
                f"{method} request specifies unknown database {params[0]}",
                params,
            )
        return database

    def list_dbs(self, _params: list, _id: Any, _now: float) -> Any:
        return sorted(self.service.databases)

    def get_schema(self, params: list, _id: Any, _now: float) -> Any:
        return self._database(params, "get_schema").schema.to_json()

    def get_server_id(self, _params: list, _id: Any, _now: float) -> Any:
        return self.service.server_id

    def echo(self, params: list, _id: Any, _now: float) -> Any:
        return params

    def set_db_change_aware(self, params: list, _id: Any, _now: float) -> Any:
        if len(params) != 1 or type(params[0]) is not bool:
            raise syntax_error("set_db_change_aware: true or false parameter expected", params)
        self.change_aware = params[0]
        return {}

    def transact(self, params: list, id_json: Any, now: float) -> Any:
        database = self._database(params, "transact")
        waiting = Waiting(self, id_json, database, params[1:], now)
        result = self.service.transact(waiting, now)
        return LATER if result is None else result

    def convert(self, params: list, _id: Any, _now: float) -> Any:
        database = self._database(params, "convert")
        if len(params) != 2:
            raise syntax_error("array expected", params)
        if self.read_only or database.read_only:
            raise OvsdbError("not allowed", "convert not allowed on a read-only connection")
        self.service.convert(database, params[1], self)
        return {}

    # locks

    @staticmethod
    def _lock_name(params: list, method: str) -> str:
        if len(params) != 1 or type(params[0]) is not str or not is_id(params[0]):
            raise syntax_error(f"{method} request params must be <id>", params)
        return params[0]

    def lock(self, params: list, _id: Any, _now: float) -> Any:
        name = self._lock_name(params, "lock")
        return {"locked": self.service.lock(self, name, steal=False)}

    def steal(self, params: list, _id: Any, _now: float) -> Any:
        name = self._lock_name(params, "steal")
        return {"locked": self.service.lock(self, name, steal=True)}

    def unlock(self, params: list, _id: Any, _now: float) -> Any:
        self.service.unlock(self, self._lock_name(params, "unlock"))
        return {}

    # monitors

    def _new_monitor(self, params: list, method: str, version: int) -> Monitor:
        count = 4 if version == 3 else 3
        database = self._database(params, method)
        if len(params) != count:
            raise syntax_error("invalid parameters", params)
        key = _id_key(params[1])
        if key in self.monitors:
            raise syntax_error("duplicate monitor ID", params[1])
        monitor = Monitor(database, params[1], params[2], version)
        self.monitors[key] = monitor
        self.service.fanouts[database.name].add(monitor, self.send)
        return monitor

    def monitor(self, params: list, _id: Any, _now: float) -> Any:
        return self._new_monitor(params, "monitor", 1).initial()

    def monitor_cond(self, params: list, _id: Any, _now: float) -> Any:
        return self._new_monitor(params, "monitor_cond", 2).initial()

    def monitor_cond_since(self, params: list, _id: Any, _now: float) -> Any:
        if len(params) == 4 and not (type(params[3]) is str and is_uuid(params[3])):
            raise syntax_error("last-txn-id must be UUID format.", params[3])
        monitor = self._new_monitor(params, "monitor_cond_since", 3)
        found, updates = monitor.since(params[3].lower())
        return [found, monitor.database.last_txn_id, updates]

    def monitor_cond_change(self, params: list, _id: Any, _now: float) -> Any:
        if len(params) != 3:
            raise syntax_error("invalid parameters", params)
        old_key, new_key = _id_key(params[0]), _id_key(params[1])
        monitor = self.monitors.get(old_key)
        if monitor is None or not monitor.conditional:
            raise syntax_error("unknown monitor session", params[0])
        if new_key != old_key and new_key in self.monitors:
            raise syntax_error("duplicate monitor ID", params[1])
        updates = monitor.change_conditions(params[2])
        if updates:
            txn_id = monitor.database.last_txn_id
            self.send(notification(monitor, orjson.dumps(updates), txn_id))
        monitor.id_json = params[1]
        del self.monitors[old_key]
        self.monitors[new_key] = monitor
        return {}

    def monitor_cancel(self, params: list, id_json: Any, _now: float) -> Any:
        if len(params) != 1:
            raise syntax_error("invalid parameters", params)
        monitor = self.monitors.pop(_id_key(params[0]), None)
        if monitor is None:
            self.reply_error(id_json, "unknown monitor")
            return LATER
        self.service.fanouts[monitor.database.name].remove(monitor)
        return {}

    def cancel_monitors(self, database: Database) -> None:
        """The database goes away: end its monitors and say so."""
        for key, monitor in list(self.monitors.items()):
            if monitor.database is database:
                del self.monitors[key]
                self.service.fanouts[database.name].remove(monitor)
                if self.change_aware:
                    self.notify("monitor_canceled", [monitor.id_json])


LATER = object()  # a method's result when the reply was sent, or comes later


def _id_key(json: Any) -> bytes:
    """What makes monitor IDs the same."""
    return orjson.dumps(json, option=orjson.OPT_SORT_KEYS)


METHODS: dict[str, Callable[[Session, list, Any, float], Any]] = {
    "convert": Session.convert,
    "echo": Session.echo,
    "get_schema": Session.get_schema,
    "get_server_id": Session.get_server_id,
    "list_dbs": Session.list_dbs,
    "lock": Session.lock,
    "monitor": Session.monitor,
    "monitor_cancel": Session.monitor_cancel,
    "monitor_cond": Session.monitor_cond,
    "monitor_cond_change": Session.monitor_cond_change,
    "monitor_cond_since": Session.monitor_cond_since,
    "set_db_change_aware": Session.set_db_change_aware,
    "steal": Session.steal,
    "transact": Session.transact,
    "unlock": Session.unlock,
}
