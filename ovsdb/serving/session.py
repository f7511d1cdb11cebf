"""One client's session with the server: the methods of RFC 7047 section 4 and of
ovsdb-server(7)."""

from collections.abc import Callable
from typing import Any

import orjson

from ovsdb.data.database import Database
from ovsdb.data.datum import is_id
from ovsdb.data.errors import OvsdbError, syntax_error
from ovsdb.data.uuids import is_uuid
from ovsdb.serving.monitor import Monitor, notification
from ovsdb.serving.rpc import Peer
from ovsdb.serving.service import Service, exhausted
from pyvs.streams.json_text import dumps

MAX_MONITORS = 64  # of one client


class Session(Peer):
    """The protocol state of one client."""

    def __init__(self, service: Service, name: str, read_only: bool = False, role: str = ""):
        super().__init__(name)
        self.service = service
        self.read_only = read_only
        self.role = role  # for RBAC, "" for all rights
        self.change_aware = False
        self.monitors: dict[bytes, Monitor] = {}
        service.sessions.add(self)

    def handle(self, message: dict, now: float) -> None:
        method = message.get("method")
        if method is None and ("result" in message or "error" in message):
            return  # the answer to a probe
        params = message.get("params")
        id_json = message.get("id")
        if type(method) is not str or type(params) is not list:
            self.protocol_error('a request must have a string "method" and an array "params"')
            return
        if id_json is None:
            if method == "cancel" and params:
                self.service.cancel(self, params[0])
            return
        methods = METHODS
        function = methods.get(method)
        if function is None:
            self.reply_error(id_json, "unknown method")
            return
        try:
            if function is TRANSACT:  # most often
                result = self._transact(params, id_json, now)
            else:
                result = function(self, params, id_json, now)
        except OvsdbError as error:
            self.reply_error(id_json, error.to_json())
            return
        if result is not LATER:
            self.reply(id_json, result)

    def ended(self) -> None:
        """The connection is gone: nobody else shall wait for this session."""
        super().ended()
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
        if not database.ready:
            raise OvsdbError(
                "database not available",
                f"{method} request specifies database {params[0]}, whose server has not been"
                " reached yet",
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
        return self._transact(params, id_json, now)

    def _transact(self, params: list, id_json: Any, now: float) -> Any:
        name = params[0] if params else None
        database = self.service.databases.get(name) if type(name) is str else None
        if database is None or not database.ready:
            database = self._database(params, "transact")  # says what is wrong
        if database.relay is not None and self._goes_on(database.relay, params[1:]):
            if not database.relay.forward(params[1:], self._forwarded(id_json), self):
                raise exhausted("too many transactions wait for the relay's server")
            return LATER
        result = self.service.transact(self, id_json, database, params[1:], now)
        return LATER if result is None else result

    def _goes_on(self, relay: Any, operations: list) -> bool:
        """Whether a transaction is for the relay's server."""
        return not (self.read_only or self.service.read_only or relay.is_local(operations))

    def _forwarded(self, id_json: Any) -> Callable[[Any, Any], None]:
        """What to do with the answer to a transaction that a relay's server got."""

        def done(result: Any, error: Any) -> None:
            if error is not None:
                self.reply_error(id_json, error)
            else:
                self.reply(id_json, result)

        return done

    def convert(self, params: list, _id: Any, _now: float) -> Any:
        database = self._database(params, "convert")
        if len(params) != 2:
            raise syntax_error("array expected", params)
        if database.relay is not None:
            raise OvsdbError("not supported", "convert the database on the relay's server")
        if self.read_only or self.service.read_only or database.read_only:
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
        if len(self.monitors) >= MAX_MONITORS:
            raise exhausted(f"this client has {MAX_MONITORS} monitors")
        monitor = Monitor(database, params[1], params[2], version)
        self.monitors[key] = monitor
        self.service.fanouts[database.name].add(monitor, self)
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
        monitor.rename(params[1])
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
    return dumps(json, sort_keys=True)


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


TRANSACT = METHODS["transact"]


def disable_monitor_cond() -> None:
    """From now on this process knows "monitor" only, as servers before 2.6 did."""
    for method in ("monitor_cond", "monitor_cond_since"):
        METHODS.pop(method, None)
