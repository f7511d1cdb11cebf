"""Exports of flows and samples, without sockets: samples and time in, datagrams out."""
