"""What a registry answered: status and headers at once, the body as it comes."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx2

from fleet.errors import RegistryError
from fleet.registry.faults import ExchangeFailed, Failure, redacted
from fleet.registry.rest import Rest, rest_of


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a registry, or of the server that it redirected to."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    url: str
    """Who answered: without query and user."""
    redirected_to: str
    """The host (with its port, where it is not the usual one) that answered instead of the registry's own; empty: none."""
    _response: httpx2.Response

    @property
    def length(self) -> int | None:
        """The announced size of the body in bytes, None where it is not announced.

        One that stands beside a transfer coding says nothing (RFC 9112, 6.3): the coding tells where the body ends.
        """
        if "transfer-encoding" in self.headers:
            return None
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it was sent, never decompressed; raise ExchangeFailed where it stalls or is cut."""
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx2.TimeoutException as error:
            raise ExchangeFailed(f"cannot go on reading {self.url}: it stalled", failure=Failure.STALLED) from error
        except httpx2.HTTPError as error:
            raise ExchangeFailed(f"cannot go on reading {self.url}: it was cut off", failure=Failure.CUT) from error

    def rest(self) -> Rest | None:
        """Return what of the body ``chunks`` has not yielded, to be read past it; None where that cannot be.

        To be called when one chunk came; ``chunks`` may go on after the rest.
        """
        return rest_of(self._response, self.url)

    async def read(self, cap: int) -> bytes:
        """Return the whole body; raise RegistryError for one of more than *cap* bytes."""
        content = bytearray()
        async for chunk in self.chunks():
            content += chunk
            if len(content) > cap:
                raise RegistryError(f"cannot take more than {cap} bytes from {self.url}")
        return bytes(content)


def answer_of(response: httpx2.Response, *, redirected_to: str = "") -> Answer:
    """Wrap an open *response*."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, redacted(str(response.url)), redirected_to, response)
