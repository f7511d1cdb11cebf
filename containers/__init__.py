"""Endpoints of containers on bridges, and the fronts that container runtimes call.

One core (endpoint.py: a veth pair between a bridge's port and a container's network namespace)
under thin fronts: ovs_docker.py (the command pyvs-docker), cni/ and netavark.py (plug-ins that
runtimes execute), driver/ (Docker's remote network driver).
"""
