"""pyvs-docker-driver: Docker's remote network driver (libnetwork's remote driver protocol).

server.py speaks HTTP on the plug-in's socket, calls.py is the protocol, state.py keeps networks and
endpoints in the database, gateway.py and nat.py are a network's way to the outside, watch.py
keeps it, and sweep.py asks Docker itself (docker_api.py) what it has forgotten.
"""
