"""An OVSDB server (RFC 7047): data model, transactions, monitors, log file, sessions."""
