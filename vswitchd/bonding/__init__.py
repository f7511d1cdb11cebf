"""Ports of several interfaces: bundles, bonds, and the buckets of what their members carry."""
