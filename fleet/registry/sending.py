"""Sends one request, also where the connection that was kept for it is one that its server has just closed."""

from collections.abc import Mapping
from typing import Any

import httpx2

MOST_IDLE = 16
"""So many unused connections to one server are kept."""


async def sent(
    client: httpx2.AsyncClient, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
) -> httpx2.Response:
    """Send one request, and once more for each kept connection that its server closed meanwhile.

    Servers close without a word what is not used for a while, and may do so while a request is on its way (RFC 9112, 9.5).
    A form is not sent twice.
    """
    for left in reversed(range(MOST_IDLE + 1)):
        dialled = _Dialled()
        request = client.build_request(
            method, url, headers=dict(headers), data=form, extensions={"trace": dialled.hear}
        )
        try:
            return await client.send(request, stream=True)
        except (httpx2.RemoteProtocolError, httpx2.NetworkError):
            if dialled.new or form is not None or not left:
                raise
    raise AssertionError("the last request returns or raises")


class _Dialled:
    """Hears whether a connection was made for a request."""

    new = False

    async def hear(self, event: str, _: Mapping[str, Any]) -> None:
        """Be told of a step of the library, by its extension ``trace``."""
        self.new = self.new or event == "connection.connect_tcp.started"
