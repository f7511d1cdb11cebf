"""An OVSDB server (RFC 7047 and ovsdb-server(7)), from the values up to the daemon.

    data/          values, schema, rows and conditions
      errors, schema, uuids, integers, datum (set and map arithmetic), condition ("where"),
      database (rows, references and indexes, commit listeners)
    transactions/  one atomic change
      operations (the ten of a "transact" request), mutation (the mutators), rbac,
      transaction (what changed, constraints, garbage collection, undo)
    storage/       files: log, sha1, records (what a log says), sysio, files (locks, compaction)
    serving/       rpc (one end of a connection), session (what is done for one client), service,
      monitor, server (the loop), listener, tls, remotes, transaction_log (monitor_cond_since)
    followers/     upstream (another server's client), replication and relay, which follow it
    commands, kept, main: the daemon

A value ("datum") of a column is a tuple of distinct atoms in ascending order, of one element
for a scalar; for a map, it is a dict with ascending keys.  Values are never changed in
place.  Atoms are int, float, bool, str; a UUID is a lower-case str, told apart by its type
in the schema.
"""
