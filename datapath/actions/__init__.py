"""What becomes of a packet: actions as bytes and text, their execution, meters, offloads."""
