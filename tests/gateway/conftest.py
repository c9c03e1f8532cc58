"""Registries that hold the same image, and a gateway in front of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.clock import SystemClock
from fleet.gateway.limits import Limits
from fleet.gateway.server import Gateway
from fleet.registry.proxies import Proxies
from fleet.testing.registry import ScriptedRegistry
from tests.gateway.harbour import LAYERS, PATIENT, Harbour, Logins


@pytest.fixture
def logins() -> Logins:
    """Know no credential until the test says so."""
    return Logins()


@pytest.fixture
def limits() -> Limits:
    """Have patience; a test about what hangs says otherwise, by a parameter of this name."""
    return PATIENT


@pytest.fixture
def harbour(tmp_path: Path, logins: Logins, limits: Limits) -> Iterator[Harbour]:
    """Start an origin and two mirrors with one image, and a gateway."""
    with ScriptedRegistry() as origin, ScriptedRegistry() as one, ScriptedRegistry() as two:
        digests = [r.shelf.add_image("org/app", "1", layers=LAYERS) for r in (origin, one, two)]
        assert len(set(digests)) == 1
        gateway = Gateway(
            tmp_path / "spool",
            credentials=logins,
            clock=SystemClock(),
            port=0,
            limits=limits,
            proxies=Proxies(),
            certs=(),
        )
        gateway.start()
        try:
            yield Harbour(gateway, origin, [one, two], digests[0], logins)
        finally:
            gateway.close()
