"""An OVSDB server (RFC 7047 and ovsdb-server(7)), from the values up to the daemon.

    errors        error objects with OVSDB's names
    schema        types, columns, tables of a schema; parsing and writing of values
    datum         set and map arithmetic on values: differences, canonical order
    uuids         random UUIDs
    condition     "where" clauses
    mutation      the mutators
    database      rows, references and indexes of one database, its commit listeners
    transaction   one atomic change: what changed, constraints, garbage collection, undo
    operations    the ten operations of a "transact" request
    rbac          what clients with a role may write
    monitor       monitors of all kinds and their update notifications
    log, records  the file format, and what its records say
    files         opening, locking, compaction of database files
    framing       JSON texts out of a byte stream
    rpc           one end of a JSON-RPC connection, without sockets
    session       what the server does for one client
    remotes       the addresses that the server listens on or connects to
    tls           TLS connections, and tls_settings, what the command line says of them
    upstream      following another server, for
    replication   active-backup replication, and
    relay         the relay service model
    server, main  sockets and the daemon

A value ("datum") of a column is a tuple of distinct atoms in ascending order, of one element
for a scalar; for a map, it is a dict with ascending keys.  Values are never changed in
place.  Atoms are int, float, bool, str; a UUID is a lower-case str, told apart by its type
in the schema.
"""
