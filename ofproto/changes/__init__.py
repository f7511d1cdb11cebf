"""Changes of tables: one message's, many flows' in slices, bundles'; and who is told of them."""
