"""The API as Python calls: addresses, tokens, problems and remedies."""

import json
import socket
from pathlib import Path

import httpx2
import pytest

from fleet.api.history import HistoryQuery
from fleet.api.hosts import ChangeHost
from fleet.api.problems import problem_of
from fleet.api.schedules import ChangeSchedule
from fleet.api.selectors import Selector
from fleet.client import Client, ServerAddress
from fleet.errors import AuthNeeded, BadInput, FleetError, NotFound, Refused, Unreachable

LOCAL = ServerAddress(url="http://127.0.0.1:1")


def _client(answer: httpx2.Response, seen: list[httpx2.Request] | None = None, token: str = "") -> Client:
    def answered(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        return answer

    address = ServerAddress(url="https://fleet.lan", token=token)
    return Client(address, transport=httpx2.MockTransport(answered))


@pytest.mark.parametrize("text", ["unix:///run/fleet/fleet.sock", "/run/fleet/fleet.sock"])
def test_a_socket_is_named_by_url_or_path(text: str) -> None:
    address = ServerAddress.parse(text)
    assert address.socket == Path("/run/fleet/fleet.sock")
    assert str(address) == "unix:///run/fleet/fleet.sock"


@pytest.mark.parametrize(
    "text", ["", "fleet.lan", "ftp://fleet.lan", "https://", "https://a:b", "unix://here", "https://a/?x=1"]
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"^cannot use"):
        ServerAddress.parse(text)


def test_a_token_never_travels_in_the_clear() -> None:
    with pytest.raises(BadInput, match="use https://"):
        ServerAddress.parse("http://fleet.lan:8080", token="fpat_x")
    assert ServerAddress.parse("http://127.0.0.1:8080", token="fpat_x").token == "fpat_x"


def test_a_login_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadInput) as refused:
        ServerAddress.parse("https://anna:secret@fleet.lan")
    assert "secret" not in str(refused.value)


def test_a_token_is_not_shown() -> None:
    assert "fpat_x" not in repr(ServerAddress.parse("https://fleet.lan", token="fpat_x"))


def test_the_token_is_sent_as_bearer() -> None:
    seen: list[httpx2.Request] = []
    with _client(httpx2.Response(200, json={"schema": "v1", "hosts": []}), seen, token="fpat_x") as client:
        client.hosts()
    assert seen[0].headers["authorization"] == "Bearer fpat_x"


def test_only_what_was_asked_for_is_sent() -> None:
    """A server of the version before does not know the fields of this one, and refuses what it does not know."""
    seen: list[httpx2.Request] = []
    with _client(httpx2.Response(500), seen) as client:
        for request in (ChangeHost(name="web-2"), ChangeHost(labels={}), ChangeHost(drop_labels=("env",))):
            with pytest.raises(FleetError):
                client.change_host("web-1", request)
        with pytest.raises(FleetError):
            client.change_schedule("nightly", ChangeSchedule(enabled=False))
    sent = [json.loads(request.content) for request in seen]
    assert sent == [{"name": "web-2"}, {"labels": {}}, {"drop_labels": ["env"]}, {"enabled": False}]


def test_a_selector_becomes_a_query() -> None:
    seen: list[httpx2.Request] = []
    selector = Selector(hosts=("web-*", "db"), labels={"env": "prod"}, images=("nginx",), containers=("app",))
    with _client(httpx2.Response(200, json={"schema": "v1", "containers": []}), seen) as client:
        client.containers(selector)
    assert seen[0].url.params.multi_items() == [
        ("label", "env=prod"),
        ("host", "web-*"),
        ("host", "db"),
        ("image", "nginx"),
        ("container", "app"),
    ]


def test_names_cannot_leave_their_place_in_the_path() -> None:
    seen: list[httpx2.Request] = []
    with _client(httpx2.Response(404, json={}), seen) as client, pytest.raises(FleetError):
        client.host("..\\tokens?x=1#y")
    assert seen[0].url.raw_path == b"/api/v1/hosts/..%5Ctokens%3Fx%3D1%23y"


@pytest.mark.parametrize("name", ["", ".", "..", "../tokens"])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with _client(httpx2.Response(200)) as client, pytest.raises(BadInput):
        client.remove_host(name)


@pytest.mark.parametrize("error", [NotFound("cannot find it"), Refused("cannot now"), AuthNeeded("cannot, no token")])
def test_a_problem_is_raised_as_the_error_it_was(error: FleetError) -> None:
    problem = problem_of(error)
    with (
        _client(httpx2.Response(problem.status, content=problem.model_dump_json())) as client,
        pytest.raises(type(error), match=str(error)),
    ):
        client.doctor()


def test_what_is_not_fleet_is_said_to_be_something_else() -> None:
    with (
        _client(httpx2.Response(502, html="<h1>Bad gateway</h1>")) as client,
        pytest.raises(FleetError, match="the server answered 502; is it Fleet's"),
    ):
        client.hosts()


def test_a_proxy_that_wants_credentials_is_auth_needed() -> None:
    with _client(httpx2.Response(401, text="no")) as client, pytest.raises(AuthNeeded):
        client.hosts()


def test_an_answer_of_another_shape_names_the_versions() -> None:
    with (
        _client(httpx2.Response(200, json={"hosts": "many"})) as client,
        pytest.raises(FleetError, match=r"cannot understand the server's answer \(hosts\).*same version"),
    ):
        client.hosts()


def test_pages_follow_each_other() -> None:
    pages = iter([{"outcomes": [], "next_page": "c2"}, {"outcomes": []}])
    asked: list[str] = []

    def answered(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.params.get("page", ""))
        return httpx2.Response(200, json=next(pages))

    with Client(LOCAL, transport=httpx2.MockTransport(answered)) as client:
        assert len(list(client.history_pages(HistoryQuery()))) == 2
    assert asked == ["", "c2"]


def test_a_socket_that_is_not_there_names_what_starts_it(tmp_path: Path) -> None:
    with (
        Client(ServerAddress.parse(str(tmp_path / "no.sock"))) as client,
        pytest.raises(Unreachable, match=r"^cannot reach the server .* no such socket; start it with fleet up"),
    ):
        client.health()


def test_a_socket_that_nobody_listens_at_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with (
        Client(ServerAddress.parse(str(tmp_path / "dead.sock"))) as client,
        pytest.raises(Unreachable, match="nothing listens there"),
    ):
        client.health()


def test_a_port_that_nobody_listens_at_is_told() -> None:
    with Client(LOCAL) as client, pytest.raises(Unreachable, match="see --server"):
        client.health()


def test_a_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for name in ("ca.pem", "missing.pem"):
        address = ServerAddress.parse("https://127.0.0.1:1", ca_file=tmp_path / name)
        with pytest.raises(BadInput, match="cannot use the CA file"):
            Client(address)
