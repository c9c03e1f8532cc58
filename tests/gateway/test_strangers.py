"""A mirror that knows nothing of a registry is left out for a day, or until somebody looks at the mirrors."""

from fleet.images.reference import Reference
from fleet.testing.faults import Fault
from tests.gateway.harbour import Harbour


def test_a_mirror_that_refused_is_asked_again_once_the_mirrors_were_looked_at(harbour: Harbour) -> None:
    one, origin = harbour.mirrors[0], harbour.origin
    one.faults.add(Fault.STATUS, status=404)
    for number in range(4):
        pull(harbour, f"org/app-{number}")
    asked = len(one.log)
    pull(harbour, "org/app-4")
    assert len(one.log) == asked
    one.faults.clear()
    harbour.gateway.forget_strangers()
    pull(harbour, "org/app-5")
    assert len(one.log) > asked
    assert len(origin.log) == 0


def pull(harbour: Harbour, repository: str) -> None:
    """Pull an image that all have, under a name of its own."""
    registries = (harbour.origin, *harbour.mirrors)
    (digest,) = {r.shelf.add_image(repository, "1", layers=[repository.encode()]) for r in registries}
    reference = Reference.parse(f"{harbour.origin.host}/{repository}:1")
    session = harbour.gateway.open(reference, digest, harbour.table)
    try:
        harbour.dock(session).pull(session.name, str(digest))
    finally:
        harbour.gateway.end(session)
