"""The routes of looks at mirrors and of their audit."""

from datetime import UTC, datetime

from starlette.testclient import TestClient

from fleet.api.paths import PREFIX as API
from fleet.history.mirrors import probes
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.road.messages import Heartbeat, HostFacts, Probe, Probed
from fleet.road.versions import READS
from fleet.testing.registry import ScriptedRegistry
from tests.controller.centre import Centre, ScriptedHost, nginx


def test_a_host_that_does_not_answer_is_named(http: TestClient, web1: ScriptedHost) -> None:
    answer = http.post(f"{API}/mirrors/test", json={"host": "web-1", "wait_s": 0})
    assert answer.status_code == 200
    assert answer.json()["unanswered"] == ["web-1"]
    assert http.get(f"{API}/mirrors/probes").json()["probes"] == []


def test_an_audit_counts_the_hosts(http: TestClient, web1: ScriptedHost) -> None:
    answer = http.get(f"{API}/mirrors/audit").json()
    assert (answer["findings"], answer["hosts"]) == ([], 1)


def test_mirrors_are_asked_for_one_image_after_its_registry(
    http: TestClient, centre: Centre, web1: ScriptedHost
) -> None:
    """What its registry says is what the mirrors are measured by; an image that nobody runs is none of theirs."""
    with ScriptedRegistry() as registry:
        image, digest = f"{registry.host}/org/app:1", str(registry.shelf.add_image("org/app", "1"))
        mirror = {"for": registry.host, "url": "https://near.lan"}
        http.put(f"{API}/policies", json={"kind": "fleet", "document": {"mirrors": [mirror]}})
        web1.snapshot(nginx(reference=image))
        centre.turn()
        nobody = http.post(f"{API}/mirrors/test", json={"image": "ghcr.io/acme/nobody", "wait_s": 0})
        assert (nobody.status_code, nobody.json()["detail"][:39]) == (409, "cannot ask for ghcr.io/acme/nobody:late")
        answer = http.post(f"{API}/mirrors/test", json={"image": image, "wait_s": 0})
        assert answer.json()["unanswered"] == ["web-1"]
    centre.turn()
    (probe,) = [opened.message for opened in web1.hear() if isinstance(opened.message, Probe)]
    assert probe.images == {image: digest}
    look = MirrorProbe(
        mirror="https://near.lan",
        registry=registry.host,
        state=ProbeState.OK,
        digest=digest,
        origin_digest=digest,
        duration_ms=18,
    )
    web1.say(Probed(request=probe.request, mirrors=(look,)))
    centre.turn()

    def said(image: str) -> list[tuple[str, str, int | None]]:
        (route,) = http.get(f"{API}/mirrors/explain", params={"image": image, "host": "web-1"}).json()["routes"]
        return [(stop["state"], stop["digest"], stop["took_ms"]) for stop in route["sources"]]

    assert said(image) == [("ok", digest, 18), ("ok", digest, None)]
    assert said(f"{registry.host}/org/app:2") == [("ok", "", None), ("", "", None)]


POLICY = {
    "strategy": "fastest",
    "mirrors": [
        {"for": "docker.io", "url": "https://near.lan"},
        {"for": "*", "url": "https://far.lan", "auth": "build", "proxy": "site"},
    ],
}


def measure(centre: Centre, host: ScriptedHost, **speeds: int) -> None:
    """Let a host tell how fast its mirrors are."""
    (request,) = probes.ask_probes(centre.db, [host.id], by="anna").values()
    registry, state = "docker.io", ProbeState.OK
    found = [
        MirrorProbe(mirror=f"https://{name}.lan", registry=registry, state=state, bytes_per_s=speed)
        for name, speed in speeds.items()
    ]
    host.say(Probed(request=request, mirrors=tuple(found)))
    centre.turn()


def test_the_fastest_mirror_is_explained_first(http: TestClient, centre: Centre, web1: ScriptedHost) -> None:
    """With its speed, and with who the host is there and by which proxy it is asked."""
    http.put(f"{API}/policies", json={"kind": "fleet", "document": POLICY})
    facts = HostFacts(agent_version="0.2.0", reads=READS)
    web1.say(Heartbeat(facts=facts, host_time=datetime.now(UTC)))
    measure(centre, web1, near=10_000_000, far=80_000_000)
    (route,) = http.get(f"{API}/mirrors/explain", params={"image": "nginx", "host": "web-1"}).json()["routes"]
    assert route["strategy"] == "fastest"
    told = [(s["endpoint"], s["bytes_per_s"], s["auth"], s["proxy"]) for s in route["sources"]]
    assert told == [
        ("https://far.lan", 80_000_000, "build", "site"),
        ("https://near.lan", 10_000_000, "config", ""),
        ("https://registry-1.docker.io", None, "config", ""),
    ]
    listed = http.get(f"{API}/mirrors").json()
    assert listed["fastest_on"] == ["web-1"]
    assert [(m["auth"], m["proxy"]) for m in listed["mirrors"]] == [("config", ""), ("build", "site")]
    page = http.get("/mirrors").text
    assert "(as build) (by the proxy site)" in page


def test_an_agent_of_an_earlier_release_is_said_to_leave_a_mirror_out(http: TestClient, web1: ScriptedHost) -> None:
    http.put(f"{API}/policies", json={"kind": "fleet", "document": POLICY})
    (route,) = http.get(f"{API}/mirrors/explain", params={"image": "nginx", "host": "web-1"}).json()["routes"]
    assert [s["endpoint"] for s in route["sources"]] == ["https://near.lan", "https://registry-1.docker.io"]
    (skipped,) = route["skipped"]
    assert (skipped["endpoint"], "too old for auth and proxy" in skipped["reason"]) == ("https://far.lan", True)


def test_a_password_in_a_policy_is_refused_and_kept_nowhere(http: TestClient, centre: Centre) -> None:
    """Neither in the answer, nor in the audit, nor as a policy."""
    for entry in (
        {"url": "https://ann:hunter2@m.lan"},
        {"url": "https://m.lan", "proxy": "http://ann:hunter2@p.lan"},
        {"url": "https://m.lan", "auth": "ann:hunter2"},
    ):
        document = {"mirrors": [{"for": "*", **entry}]}
        answer = http.put(f"{API}/policies", json={"kind": "fleet", "document": document})
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("cannot use ")
        assert "hunter2" not in answer.text
    assert http.get(f"{API}/policies").json()["policies"] == []
    assert "hunter2" not in http.get(f"{API}/audit").text
