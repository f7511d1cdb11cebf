"""What the database asks of the switch: its replica, and the rows as plain values."""
