"""Role-based access control (ovsdb(7)): what clients with a role may write.

A database with the tables RBAC_Role and RBAC_Permission says it itself:

    RBAC_Role        name, permissions (map of table name to RBAC_Permission)
    RBAC_Permission  table, authorization (of which one must hold for a row: "" always does,
                     COLUMN or COLUMN:KEY when the client's name stands there),
                     insert_delete, update (columns that may be changed)
"""

from collections.abc import Iterable
from typing import Any

from ovsdb.data.condition import Row
from ovsdb.data.database import Database, Table
from ovsdb.data.errors import OvsdbError

ROLES, PERMISSIONS = "RBAC_Role", "RBAC_Permission"


class Rights:
    """What a client may do.  Without a role, or in a database without roles: everything."""

    __slots__ = ("client_id", "role")

    def __init__(self, role: str = "", client_id: str | None = None):
        self.role = role
        self.client_id = client_id

    def check_insert(self, database: Database, table: Table) -> None:
        """Raise a permission error if the client may not insert."""
        if self._limited(database):
            permission = self._permission(database, table)
            if permission is None or permission["insert_delete"] != (True,):
                raise self._refused(f'row insertion into table "{table.name}"')

    def check_delete(self, database: Database, table: Table, rows: list[Row]) -> None:
        """Raise a permission error if the client may not delete one of the rows."""
        if self._limited(database):
            permission = self._permission(database, table)
            if (
                permission is None
                or permission["insert_delete"] != (True,)
                or not all(self._is_authorized(permission, row) for row in rows)
            ):
                raise self._refused(f'row deletion from table "{table.name}"')

    def check_change(
        self, database: Database, table: Table, rows: list[Row], columns: Iterable[str], what: str
    ) -> None:
        """Raise a permission error if the client may not change these columns of the rows."""
        if self._limited(database):
            permission = self._permission(database, table)
            if (
                permission is None
                or not set(columns) <= set(permission["update"])
                or not all(self._is_authorized(permission, row) for row in rows)
            ):
                raise self._refused(f'{what} of table "{table.name}"')

    def _limited(self, database: Database) -> bool:
        return bool(self.role) and ROLES in database.tables and PERMISSIONS in database.tables

    def _permission(self, database: Database, table: Table) -> Row | None:
        for role in database.tables[ROLES].rows.values():
            if role["name"] == (self.role,):
                uuid = role["permissions"].get(table.name)  # type: ignore[union-attr]
                return database.tables[PERMISSIONS].rows.get(uuid)
        return None

    def _is_authorized(self, permission: Row, row: Row) -> bool:
        return any(self._stands_in(row, each) for each in permission["authorization"])

    def _stands_in(self, row: Row, authorization: str) -> bool:
        if not authorization:
            return True
        column, colon, key = authorization.partition(":")
        value: Any = row.get(column)
        if value is None or self.client_id is None:
            return False
        if type(value) is dict:
            return value.get(key) == self.client_id if colon else self.client_id in value
        return not colon and self.client_id in value

    def _refused(self, what: str) -> OvsdbError:
        return OvsdbError(
            "permission error",
            f'RBAC rules for client "{self.client_id or ""}" role "{self.role}" prohibit {what}.',
        )


EVERYTHING = Rights()
