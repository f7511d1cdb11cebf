"""The database file: made where there is none, converted where its schema is of another version."""

import contextlib
import json
import os
import shutil

from pyvs_tools.command import Fatal, schema_path


def create_database(path, schema=None):
    """Makes a database file for the switch.  Raises ovsdb.data.errors.OvsdbError."""
    from ovsdb.storage import files

    files.create(path, files.load_schema(schema or schema_path()))


def first_record(path):
    """The schema (JSON) at the beginning of a database file; {} when it cannot be read."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(path, "rb") as file:
        words = file.readline(1024).split()
        if words[:2] == [b"OVSDB", b"JSON"]:
            return json.loads(file.read(int(words[2])))
    return {}


def _back_up(path, old_version):
    """Copies a database file to one beside it that does not exist yet; returns its path."""
    first = path_of_copy = f"{path}.backup{old_version}"
    number = 0
    while os.path.lexists(path_of_copy):
        number += 1
        path_of_copy = f"{first}.{number}"
    shutil.copy(path, path_of_copy)  # with its mode
    return path_of_copy


def _convert_database(path, schema):
    """Gives a database file another schema (JSON) unless it is of that version already."""
    from ovsdb.data.schema import DatabaseSchema
    from ovsdb.storage import files

    if first_record(path).get("version") == schema.get("version"):
        return
    old = files.open_database(path)
    try:
        new = files.converted(old, DatabaseSchema.from_json(schema))
        saved = _back_up(path, old.schema.version)
        old.file.replace(new, f"converted from schema version {old.schema.version}")
    finally:
        old.file.close()
    print(f"converted {path} to schema version {schema['version']} (old one: {saved})")


def prepare_database(options):
    """Creates the database, or converts it to the present schema if it is of another version."""
    from ovsdb.data.errors import OvsdbError
    from ovsdb.storage import files

    path = options.db_file()
    schema = files.load_schema(options.get("db-schema") or schema_path())
    try:
        if not os.path.exists(path):
            files.create(path, schema)
        else:
            _convert_database(path, schema)
    except OvsdbError as error:
        raise Fatal(f"database {path}: {error}") from None
