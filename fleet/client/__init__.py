"""The HTTP API as Python calls: over the unix socket of this machine, or by HTTPS with a bearer token.

Every call returns a model of ``fleet.api`` or raises an error of ``fleet.errors``, as the server meant it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fleet.client.address import ServerAddress
    from fleet.client.calls import Client

__all__ = ["Client", "ServerAddress"]


def __getattr__(name: str) -> Any:
    """Load what is asked for, when it is asked for: a key press for a completion has no time for the whole client."""
    if name == "Client":
        from fleet.client.calls import Client

        return Client
    if name == "ServerAddress":
        from fleet.client.address import ServerAddress

        return ServerAddress
    raise AttributeError(name)
