"""A bridge's flow, group and meter tables, and the journal that outlives the process."""
