"""The HTTP API as Python calls: over the unix socket of this machine, or by HTTPS with a bearer token.

Every call returns a model of ``fleet.api`` or raises an error of ``fleet.errors``, as the server meant it.
"""

from fleet.client.address import ServerAddress
from fleet.client.calls import Client

__all__ = ["Client", "ServerAddress"]
