"""Bytes and objects: fields, matches, actions, messages, errors, and the numbers of OpenFlow."""
