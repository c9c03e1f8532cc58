"""Bodies of requests, which are read only so far."""

from starlette.requests import Request


async def read_body(request: Request, largest: int) -> bytes | None:
    """Return the body of a request; None where it has more than *largest* bytes, of which the rest is not read."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > largest:
            return None
    return body
