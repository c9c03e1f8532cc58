"""References are read and written as Docker does it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleet.errors import BadInput
from fleet.images.digest import Digest
from fleet.images.reference import Reference

CASES = json.loads(Path(__file__).with_name("references.json").read_bytes())
ACCEPTED: list[dict[str, Any]] = [case for cases in CASES["accepted"].values() for case in cases]
REFUSED: list[str] = [text for texts in CASES["refused"].values() for text in texts]
DIGEST = Digest("sha256", "f" * 64)

_parts = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
_hosts = st.sampled_from(
    ["docker.io", "ghcr.io", "localhost", "localhost:5000", "10.0.0.1:80", "[::1]:5000", "Reg", "a.b"]
)
_tags = st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
_digests = st.none() | st.binary(max_size=4).map(Digest.of)
_paths = st.lists(_parts, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case["text"][:60])
def test_accepted_as_docker_accepts(case: dict[str, Any]) -> None:
    """Every part is what Docker's own parser says it is, and the familiar spelling is Docker's."""
    reference = Reference.parse(case["text"])
    digest = Digest.parse(case["digest"]) if case["digest"] else None
    assert reference == Reference(case["registry"], case["repository"], case["tag"], digest)
    assert reference.familiar == case["familiar"]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:60]))
def test_refused_as_docker_refuses(text: str) -> None:
    """What Docker refuses is refused, in words that begin with cannot."""
    with pytest.raises(BadInput, match=r"^cannot "):
        Reference.parse(text)


@given(st.builds(Reference, _hosts, _paths, _tags, _digests))
@example(Reference("docker.io", "library/" + "a" * 64))
@example(Reference("docker.io", "a.b/c"))
@example(Reference("docker.io", "localhost/c"))
def test_round_trip(reference: Reference) -> None:
    """Both spellings of a reference are read back as the same reference."""
    if reference.registry == "docker.io" and "/" not in reference.repository:
        reference = Reference("docker.io", f"library/{reference.repository}", reference.tag, reference.digest)
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference


@given(st.text(max_size=80))
def test_parse_is_total(text: str) -> None:
    """Any text is either a reference that prints back to itself or BadInput, never another error."""
    try:
        reference = Reference.parse(text)
    except BadInput:
        return
    assert Reference.parse(str(reference)) == reference


def test_latest_is_implied_only_without_tag_and_digest() -> None:
    """latest is added where nothing says which image is meant, and nowhere else."""
    plain = Reference.parse("nginx")
    assert plain.tag is None
    assert plain.tag_or_latest == "latest"
    assert str(plain.with_tag_latest()) == "docker.io/library/nginx:latest"
    pinned = plain.pinned(DIGEST)
    assert pinned.with_tag_latest() is pinned


def test_pinning_keeps_the_tag() -> None:
    """A pinned reference still says which tag it was, and can be unpinned."""
    reference = Reference.parse("ghcr.io/org/app:1.2")
    pinned = reference.pinned(DIGEST)
    assert str(pinned) == f"ghcr.io/org/app:1.2@{DIGEST}"
    assert pinned.without_digest() == reference


def test_name_has_neither_tag_nor_digest() -> None:
    """The name is registry and repository alone, in both spellings."""
    reference = Reference.parse(f"nginx:1@{DIGEST}")
    assert (reference.name, reference.familiar_name) == ("docker.io/library/nginx", "nginx")
