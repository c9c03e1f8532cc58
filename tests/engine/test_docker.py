"""What the engine answers, or fails to, as Fleet's own values and errors; over a scripted socket."""

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.clock import SystemClock
from fleet.engine.docker import LONGEST_STOP_S, DockerEngine, connect
from fleet.engine.protocol import CreateSpec
from fleet.errors import BadInput, EngineError, EngineUnreachable
from tests.engine.conftest import Handler, Script

WEB = "a" * 64
# The docker library leaves the socket of a request that was cut off to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def engine(script: Script) -> Iterator[DockerEngine]:
    """An engine behind the script; however busy the machine is, its answers come in time."""
    yield from _behind(script, 30.0)


@pytest.fixture
def hasty(script: Script) -> Iterator[DockerEngine]:
    """One that may take half a second for an answer."""
    yield from _behind(script, 0.5)


def _behind(script: Script, timeout_s: float) -> Iterator[DockerEngine]:
    engine = DockerEngine(script.url, timeout_s, SystemClock())
    yield engine
    engine.close()
    gc.collect()


def hang_up(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def hang(handler: Handler) -> None:
    """Answer nothing for longer than anybody waits."""
    time.sleep(1.5)
    hang_up(handler)


def test_an_address_that_is_no_socket_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^cannot use 'npipe://x' as an engine's address"):
        connect("npipe://x")


def test_no_engine_is_unreachable_and_the_text_says_where(tmp_path: Path) -> None:
    engine = connect(f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineUnreachable, match=r"^cannot ping the engine: no answer .*none\.sock; is it running"):
        engine.ping()


@pytest.mark.parametrize("trouble", [hang, hang_up])
def test_an_engine_that_answers_nothing_is_unreachable(trouble: object, hasty: DockerEngine, script: Script) -> None:
    script.on("POST /containers/web/start", trouble)  # type: ignore[arg-type]
    with pytest.raises(EngineUnreachable, match=r"^cannot start container web: no answer"):
        hasty.start("web")


def test_a_refusal_has_the_engines_words_and_status(engine: DockerEngine, script: Script) -> None:
    script.on("POST /containers/web/start", (500, {"message": "port is already allocated"}))
    with pytest.raises(EngineError, match=r"^cannot start container web: port is already allocated$") as refused:
        engine.start("web")
    assert refused.value.status == 500


def test_started_or_stopped_already_is_a_success(engine: DockerEngine, script: Script) -> None:
    script.on("POST /containers/web/start", (304, None))
    script.on("POST /containers/web/stop", (304, None))
    script.on("GET /containers/web/json", (200, {"Id": WEB, "Config": {}}))
    engine.start("web")
    engine.stop("web")


@pytest.mark.parametrize(("own", "asked"), [(None, 10), (3, 3), (0, 0), (-1, LONGEST_STOP_S)])
def test_a_container_is_stopped_with_its_own_patience(
    own: int | None, asked: int, engine: DockerEngine, script: Script
) -> None:
    script.on("GET /containers/web/json", (200, {"Id": WEB, "Config": {"StopTimeout": own}}))
    script.on("POST /containers/web/stop", (204, None))
    engine.stop("web")
    assert script.asked[-1].endswith(f"/containers/web/stop?t={asked}")


def test_a_slow_stop_is_waited_for(hasty: DockerEngine, script: Script) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(1.2)
        handler.send_response(204)
        handler.end_headers()

    script.on("POST /containers/web/stop", slow)
    hasty.stop("web", timeout_s=20)


def test_a_name_with_a_slash_cannot_reach_another_path(engine: DockerEngine, script: Script) -> None:
    assert engine.inspect("../images/x") is None
    assert script.asked[-1] == "GET /v1.41/containers/..%2Fimages%2Fx/json"


def test_the_first_network_is_given_at_create_and_the_rest_connected(engine: DockerEngine, script: Script) -> None:
    script.on("POST /containers/create", (201, {"Id": WEB}))
    script.on("POST /networks/back/connect", (200, None))
    spec = CreateSpec(
        name="web.new", body={"Image": "app:1"}, connect=(("back", {"Aliases": ["db"]}),), platform="linux/arm64"
    )
    assert engine.create(spec) == WEB
    assert script.asked[-2:] == [
        "POST /v1.41/containers/create?name=web.new&platform=linux%2Farm64",
        "POST /v1.41/networks/back/connect",
    ]
    assert script.bodies[-1] == {"Container": WEB, "EndpointConfig": {"Aliases": ["db"]}}


@pytest.mark.parametrize("removal", [204, 500])
def test_what_cannot_be_connected_is_removed_and_the_reason_told(
    removal: int, engine: DockerEngine, script: Script
) -> None:
    script.on("POST /containers/create", (201, {"Id": WEB}))
    script.on("POST /networks/back/connect", (403, {"message": "address already in use"}))
    script.on(f"DELETE /containers/{WEB}", (removal, {"message": "busy"}))
    with pytest.raises(EngineError, match="address already in use"):
        engine.create(CreateSpec(name="web.new", body={"Image": "app:1"}, connect=(("back", {}),)))
    assert script.asked[-1] == f"DELETE /v1.41/containers/{WEB}?v=False&link=False&force=True"


def test_a_removal_that_somebody_else_began_is_waited_for(engine: DockerEngine, script: Script) -> None:
    script.on("DELETE /containers/web", (409, {"message": "removal of container web is already in progress"}))
    script.on("GET /containers/web/json", (200, {"Id": WEB}), (200, {"Id": WEB}), (404, {"message": "gone"}))
    engine.remove("web")
    assert script.asked.count("GET /v1.41/containers/web/json") == 3


def test_the_version_is_negotiated_again_when_the_engine_was_away(engine: DockerEngine, script: Script) -> None:
    """It may have been upgraded meanwhile, and refuse the version that it spoke before."""
    engine.ping()
    script.on("GET /version", (200, {"ApiVersion": "1.45", "Version": "26.1"}))
    script.on("POST /containers/web/start", hang_up, (204, None))
    with pytest.raises(EngineUnreachable):
        engine.start("web")
    engine.start("web")
    assert script.asked[-1] == "POST /v1.45/containers/web/start"


def shown(endpoint: str, **config: str) -> dict[str, object]:
    """Return the inspect of a container in one network."""
    networks = {"back": {"EndpointID": endpoint, "MacAddress": "02:11:22:33:44:55"}}
    host = {"NetworkMode": "back"}
    return {"Id": WEB, "Config": config, "HostConfig": host, "NetworkSettings": {"Networks": networks}}


def test_a_chosen_mac_address_that_newer_apis_leave_out_is_asked_for_once_a_start(
    engine: DockerEngine, script: Script
) -> None:
    script.on("GET /version", (200, {"ApiVersion": "1.56", "Version": "29.0"}))
    newer, older = shown("first"), shown("first", MacAddress="02:11:22:33:44:55")
    script.on("GET /containers/web/json", (200, newer), (200, older), (200, newer), (200, shown("second")), (200, {}))
    seen = [engine.inspect("web") for _ in range(3)]
    assert [found and found["Config"] for found in seen] == [{"MacAddress": "02:11:22:33:44:55"}] * 2 + [{}]
    versions = [asked.split("/")[1] for asked in script.asked if asked.endswith("/web/json")]
    assert versions == ["v1.56", "v1.51", "v1.56", "v1.56", "v1.51"]


@pytest.mark.parametrize("status", [400, 500])
def test_an_engine_that_speaks_the_older_api_no_more_tells_of_no_mac_address(
    status: int, engine: DockerEngine, script: Script
) -> None:
    """One that fails otherwise may tell at the next look: until then nobody may act without."""
    script.on("GET /version", (200, {"ApiVersion": "1.70", "Version": "40.0"}))
    refusal = {"message": "client version 1.51 is too old"}
    script.on("GET /containers/web/json", (200, shown("first")), (status, refusal))
    if status == 400:
        assert engine.inspect("web") == shown("first")
    else:
        with pytest.raises(EngineError):
            engine.inspect("web")


def test_an_error_line_of_a_pull_is_an_error(engine: DockerEngine, script: Script) -> None:
    """The docker library's own pull reports such a pull as a success."""
    lines = [
        {"status": "Pulling", "id": "1"},
        {"errorDetail": {"message": "manifest unknown"}, "error": "manifest unknown"},
    ]
    script.on("POST /images/create", (200, lines))
    events = engine.pull("app:1")
    assert next(events).layer == "1"
    with pytest.raises(EngineError, match=r"^cannot pull app:1: manifest unknown$"):
        next(events)


def test_facts_are_read_from_info(engine: DockerEngine, script: Script) -> None:
    info = {
        "ID": "X",
        "Name": "node7",
        "ServerVersion": "26.1.5",
        "OSType": "linux",
        "Architecture": "x86_64",
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "RegistryConfig": {
            "Mirrors": ["http://m:5000/"],
            "InsecureRegistryCIDRs": ["127.0.0.0/8"],
            "IndexConfigs": {"docker.io": {"Secure": True}, "m:5000": {"Secure": False}},
        },
    }
    script.on("GET /info", (200, info))
    facts = engine.facts()
    assert (facts.id, facts.name, facts.version, facts.api_version) == ("X", "node7", "26.1.5", "1.41")
    assert (facts.os, facts.architecture, facts.containerd_store) == ("linux", "amd64", True)
    assert facts.mirrors == ("http://m:5000/",)
    assert facts.insecure_registries == ("127.0.0.0/8", "m:5000")


def _silent_after(*sent: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        for piece in sent:
            handler.wfile.write(piece)
        handler.wfile.flush()
        # Returns when the other side has ended the connection.
        handler.connection.settimeout(60)
        handler.connection.recv(1)
        handler.close_connection = True

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LINE = b'{"status": "Pulling", "id": "1"}\r\n'


@pytest.mark.parametrize("sent", [(), (CHUNKED,), (CHUNKED, b"%x\r\n%s\r\n" % (len(LINE), LINE))])
def test_a_pull_of_a_silent_engine_ends_where_another_thread_cuts_it(
    engine: DockerEngine, script: Script, sent: tuple[bytes, ...]
) -> None:
    """It hangs with a registry, for ever, and gives its pull up when nobody listens any more."""
    script.on("POST /images/create", _silent_after(*sent))
    lines = engine.pull("app:1")
    threading.Timer(0.3, lines.cut).start()  # type: ignore[attr-defined]
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"^cannot pull app:1: it was given up$"):
        list(lines)
    assert time.monotonic() - began < 30


def test_a_pull_that_is_cut_before_it_began_asks_nothing(engine: DockerEngine, script: Script) -> None:
    lines = engine.pull("app:1")
    lines.cut()  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="it was given up"):
        next(lines)
    assert not any("create" in asked for asked in script.asked)


def test_a_pull_whose_stream_breaks_off_has_no_end(engine: DockerEngine, script: Script) -> None:
    """The engine was killed: what it said so far says nothing of the image."""

    def breaks_off(handler: Handler) -> None:
        handler.wfile.write(CHUNKED + b"%x\r\n%s\r\n" % (len(LINE), LINE))
        handler.close_connection = True

    script.on("POST /images/create", breaks_off)
    events = engine.pull("app:1")
    assert next(events).layer == "1"
    with pytest.raises(EngineUnreachable):
        next(events)


def test_a_pull_that_the_engine_refuses_says_why(engine: DockerEngine, script: Script) -> None:
    script.on("POST /images/create", (404, {"message": "manifest for app:1 not found"}))
    with pytest.raises(EngineError, match="manifest for app:1 not found") as caught:
        next(engine.pull("app:1"))
    assert caught.value.status == 404
