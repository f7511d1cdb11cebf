"""Actions that change a packet, or choose: headers, encap, ct, groups, learn, sample."""
