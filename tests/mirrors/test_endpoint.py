"""Mirror URLs mean what the projects that define them say."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import BadInput
from fleet.gateway.upstreams import mirror_address
from fleet.images.reference import Reference
from fleet.mirrors.endpoint import Shape, daemon_endpoint, parse_endpoint, write_endpoint
from fleet.mirrors.source import Endpoint

HERE = Path(__file__).parent
URLS = json.loads((HERE / "mirror_urls.json").read_text())
SHAPES = json.loads((HERE / "mirror_shapes.json").read_text())["shapes"]
NGINX = Reference.parse("nginx:1")


@pytest.mark.parametrize("case", URLS["accepted"], ids=lambda case: case["url"])
def test_a_mirror_of_the_daemon_is_asked_where_the_daemon_asks_it(case: dict[str, str]) -> None:
    address = mirror_address(daemon_endpoint(case["url"]), NGINX)
    assert address.ping_url == case["endpoint"]


@pytest.mark.parametrize("url", URLS["refused"])
def test_what_the_daemon_refuses_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"^cannot use") as error:
        daemon_endpoint(url)
    assert "foo:bar" not in str(error.value)


@pytest.mark.parametrize("case", SHAPES, ids=lambda case: case["product"])
def test_every_product_is_asked_in_its_own_shape(case: dict[str, Any]) -> None:
    endpoint = parse_endpoint(case["url"], shape=Shape(case["shape"]))
    assert mirror_address(endpoint, NGINX).url("library/nginx", "manifests", "1") == case["get"]


SEGMENT = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True).filter(lambda text: text != "v2")
PATHS = st.lists(SEGMENT, max_size=3)


@given(
    scheme=st.sampled_from(["http", "https"]),
    host=st.sampled_from(["a.lan", "a.lan:5000", "[::1]:5000"]),
    base=PATHS,
    prefix=PATHS,
    ns=st.booleans(),
)
def test_a_written_endpoint_is_read_back(scheme: str, host: str, base: list[str], prefix: list[str], ns: bool) -> None:
    endpoint = Endpoint(
        scheme=scheme,
        host=host,
        base_path="".join(f"/{part}" for part in base),
        repo_prefix="".join(f"{part}/" for part in prefix),
        ns_query=ns,
    )
    url, shape = write_endpoint(endpoint)
    assert parse_endpoint(url, shape=shape) == endpoint


@given(st.text(max_size=60))
def test_any_text_is_an_endpoint_or_bad_input(text: str) -> None:
    for shape in Shape:
        try:
            endpoint = parse_endpoint(text, shape=shape)
        except BadInput as error:
            assert str(error).startswith("cannot")
        else:
            assert endpoint.host
