"""The datapath's flows as vswitchd knows them: upcalls, ukeys, revalidation."""
