"""The container engine of this host, behind a protocol. Only docker.py imports the docker library; nothing here decides."""
