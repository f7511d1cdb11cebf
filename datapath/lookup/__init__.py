"""From a key to a flow: the exact-match cache and the megaflow table."""
