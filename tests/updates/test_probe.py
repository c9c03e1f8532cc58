"""A probe asks the container itself, by TCP or HTTP, and takes no place from a label."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fleet.errors import BadInput
from fleet.updates.probe import Probe, ask, places, probes_of


class Answers(BaseHTTPRequestHandler):
    """``/204`` is answered with 204, and so on."""

    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def port() -> Iterator[int]:
    """Serve on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


HOST = {"HostConfig": {"NetworkMode": "host"}}


def test_labels_name_a_port_and_a_path() -> None:
    labels = {"fleet.probe.tcp": " 5432 ", "fleet.probe.http": "8080/health?full=1"}
    assert probes_of(labels) == (Probe(port=5432), Probe(port=8080, path="/health?full=1"))
    assert probes_of({"fleet.probe.http": "80"}) == (Probe(port=80, path="/"),)
    assert probes_of({"team": "web"}) == ()


@pytest.mark.parametrize("text", ["", "0", "65536", "²", "-1", "other:80"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="cannot read the label"):
        probes_of({"fleet.probe.tcp": text})


@pytest.mark.parametrize("text", ["", "http://elsewhere/", "elsewhere:80/", "80/a b", "80@elsewhere/", "0/"])
def test_an_http_probe_names_no_machine(text: str) -> None:
    with pytest.raises(BadInput, match="cannot read the label"):
        probes_of({"fleet.probe.http": text})


def test_a_container_is_asked_at_its_addresses_and_then_where_it_is_published() -> None:
    inspect = {
        "HostConfig": {"NetworkMode": "back"},
        "NetworkSettings": {
            "Networks": {"back": {"IPAddress": "10.1.0.2"}, "front": {"IPAddress": ""}},
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "10.9.9.9", "HostPort": "81"}]},
        },
    }
    assert list(places(inspect, 80)) == [("10.1.0.2", 80), ("127.0.0.1", 8080), ("10.9.9.9", 81)]
    assert list(places(inspect, 81)) == [("10.1.0.2", 81)]
    assert list(places(HOST, 81)) == [("127.0.0.1", 81)]


@pytest.mark.parametrize("status", [200, 204, 302])
def test_a_good_status_is_good(status: int, port: int) -> None:
    assert ask(Probe(port=port, path=f"/{status}"), HOST) == ""


@pytest.mark.parametrize("status", [404, 503])
def test_a_bad_status_is_told(status: int, port: int) -> None:
    assert ask(Probe(port=port, path=f"/{status}"), HOST) == f"it answered with status {status}"


def test_a_connection_is_enough_for_a_tcp_probe(port: int) -> None:
    assert ask(Probe(port=port), HOST) == ""


@pytest.mark.parametrize("path", ["", "/200"])
def test_one_where_nobody_listens_is_told(path: str, port: int) -> None:
    closed = 1
    assert "127.0.0.1:1 does not answer" in ask(Probe(port=closed, path=path), HOST)


def test_one_without_any_address_is_told() -> None:
    told = ask(Probe(port=80), {"HostConfig": {"NetworkMode": "none"}})
    assert told == "the container has no address that this host reaches"
