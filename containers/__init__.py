"""Endpoints of containers on bridges, and the fronts that container runtimes call.

One core (endpoint.py: a veth pair between a bridge's port and a container's network namespace)
under thin fronts: ovs_docker.py (the command pyvs-docker), cni.py and netavark.py (plug-ins that
runtimes execute), driver.py (Docker's remote network driver).
"""
