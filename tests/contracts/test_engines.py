"""What Fleet relies on in an engine: the stand-in and every real generation do the same."""

from typing import Any

import pytest

from fleet.engine.protocol import CreateSpec, Executed
from fleet.errors import EngineError
from fleet.testing.engine_images import Behaviour
from tests.contracts.beds import BAD_PROBE, ENDS, GOOD_PROBE, NOWHERE, Bed, MemoryBed, eventually, run

NO_RESTART = {"Name": "no", "MaximumRetryCount": 0}


def host(**fields: Any) -> dict[str, Any]:
    """Return a create body with that HostConfig."""
    return {"HostConfig": fields}


def state(bed: Bed, container: str) -> str:
    """Return the engine's word for a container's state, ``gone`` where there is none."""
    found = bed.engine.inspect(container)
    return str(found["State"]["Status"]) if found else "gone"


def test_it_says_who_it_is(bed: Bed) -> None:
    facts = bed.engine.facts()
    assert facts.id
    assert facts.os == "linux"
    assert tuple(map(int, facts.api_version.split("."))) >= (1, 41)
    bed.engine.ping()


def test_a_created_container_does_not_run_until_it_is_started(bed: Bed) -> None:
    image = bed.image("app:1")
    made = bed.engine.create(CreateSpec(name="web", body={"Image": "app:1"}))
    assert len(made) == 64
    found = bed.engine.inspect("web")
    assert found is not None
    assert (found["Id"], found["Name"], found["Image"]) == (made, "/web", image)
    assert state(bed, made) == "created"
    assert bed.engine.container_ids() == []
    assert bed.engine.container_ids(all=True) == [made]
    bed.engine.start(made)
    assert state(bed, made) == "running"
    assert bed.engine.container_ids() == [made]


def test_start_and_stop_taken_twice_are_a_success(bed: Bed) -> None:
    bed.image("app:1")
    web = run(bed, "web", "app:1")["Id"]
    bed.engine.start(web)
    bed.engine.stop(web)
    bed.engine.stop(web)
    assert state(bed, web) == "exited"


def test_a_name_is_taken_once(bed: Bed) -> None:
    bed.image("app:1")
    web = run(bed, "web", "app:1")["Id"]
    with pytest.raises(EngineError, match=r"^cannot create container web: ") as refused:
        run(bed, "web", "app:1")
    assert refused.value.status == 409
    other = run(bed, "other", "app:1")["Id"]
    with pytest.raises(EngineError, match="already in use") as refused:
        bed.engine.rename(other, "web")
    assert refused.value.status == 409
    bed.engine.rename(web, "web.fleet-old-1")
    bed.engine.rename(other, "web")
    found = bed.engine.inspect("web")
    assert found is not None
    assert found["Id"] == other


def test_what_is_not_there_is_none_or_404(bed: Bed) -> None:
    assert bed.engine.inspect("nobody") is None
    assert bed.engine.image("nothing:1") is None
    for call in (bed.engine.start, bed.engine.stop):
        with pytest.raises(EngineError) as refused:
            call("nobody")
        assert refused.value.status == 404
    with pytest.raises(EngineError) as refused:
        bed.engine.create(CreateSpec(name="web", body={"Image": "nothing:1"}))
    assert refused.value.status == 404


def test_the_beginning_of_an_id_is_taken_for_it(bed: Bed) -> None:
    """So a container named ``db`` that is gone may be found under another one's id: look at the name."""
    bed.image("app:1")
    web = run(bed, "web", "app:1")["Id"]
    found = bed.engine.inspect(web[:5])
    assert found is not None
    assert found["Id"] == web


def test_removing_needs_force_while_it_runs_and_twice_is_a_success(bed: Bed) -> None:
    bed.image("app:1")
    web = run(bed, "web", "app:1")["Id"]
    with pytest.raises(EngineError) as refused:
        bed.engine.remove(web)
    assert refused.value.status == 409
    bed.engine.remove(web, force=True)
    bed.engine.remove(web)
    assert bed.engine.inspect(web) is None


def test_a_removed_container_leaves_its_anonymous_volume(bed: Bed) -> None:
    bed.image("app:1", Volumes={"/data": {}})
    web = run(bed, "web", "app:1")
    volume = web["Mounts"][0]["Name"]
    bed.write(volume, "precious")
    bed.engine.remove(web["Id"], force=True)
    again = run(bed, "web", "app:1", HostConfig={"Binds": [f"{volume}:/data"]})
    assert [mount["Name"] for mount in again["Mounts"]] == [volume]
    assert bed.read(volume) == "precious"


def test_a_rm_container_is_removed_when_it_stops(bed: Bed) -> None:
    bed.image("app:1")
    web = run(bed, "web", "app:1", **host(AutoRemove=True))["Id"]
    bed.engine.stop(web)
    eventually(bed, "the removal of web", lambda: bed.engine.inspect(web) is None)


def test_a_rm_container_takes_its_anonymous_volume_along_unless_another_holds_it(bed: Bed) -> None:
    bed.image("app:1", Volumes={"/data": {}})
    first = run(bed, "first", "app:1", **host(AutoRemove=True))
    held = first["Mounts"][0]["Name"]
    bed.write(held, "precious")
    bed.engine.create(CreateSpec(name="second", body={"Image": "app:1", **host(Binds=[f"{held}:/data"])}))
    bed.engine.stop(first["Id"])
    eventually(bed, "the removal of first", lambda: bed.engine.inspect(first["Id"]) is None)
    assert bed.read(held) == "precious"


def test_the_restart_policy_changes_in_place(bed: Bed) -> None:
    bed.image("app:1")
    policy = {"Name": "on-failure", "MaximumRetryCount": 4}
    web = run(bed, "web", "app:1", **host(RestartPolicy=policy))["Id"]
    for wanted in (NO_RESTART, policy):
        bed.engine.set_restart_policy(web, wanted)
        found = bed.engine.inspect(web)
        assert found is not None
        assert found["HostConfig"]["RestartPolicy"] == wanted
    assert state(bed, web) == "running"


def test_a_container_that_ends_is_exited_or_restarted_by_its_policy(bed: Bed) -> None:
    bed.image("ends:1", Cmd=list(ENDS))
    once = run(bed, "once", "ends:1")["Id"]
    eventually(bed, "the end of once", lambda: state(bed, once) == "exited")
    again = run(bed, "again", "ends:1", **host(RestartPolicy={"Name": "always"}))["Id"]

    def restarted() -> bool:
        found = bed.engine.inspect(again)
        return found is not None and found["RestartCount"] > 0

    eventually(bed, "a restart of again", restarted)
    found = bed.engine.inspect(once)
    assert found is not None
    assert found["State"]["ExitCode"] == 3


@pytest.mark.parametrize(("probe", "told"), [(GOOD_PROBE, "healthy"), (BAD_PROBE, "unhealthy")])
def test_a_healthcheck_is_told(probe: dict[str, Any], told: str, bed: Bed) -> None:
    bed.image("app:1", Healthcheck=probe)
    web = run(bed, "web", "app:1")

    def health() -> str:
        found = bed.engine.inspect(web["Id"])
        return str(found["State"]["Health"]["Status"]) if found else ""

    eventually(bed, f"{told} of web", lambda: health() == told)


def test_the_program_that_cannot_start_is_told(bed: Bed) -> None:
    bed.image("app:1", Entrypoint=NOWHERE)
    made = bed.engine.create(CreateSpec(name="web", body={"Image": "app:1"}))
    with pytest.raises(EngineError, match=r"^cannot start container"):
        bed.engine.start(made)
    assert state(bed, made) == "created"


def test_a_name_moves_from_one_image_to_another(bed: Bed) -> None:
    """The old container keeps its image, and what is created by the name gets the new one."""
    old = bed.image("app:1", Labels={"v": "1"})
    web = run(bed, "web", "app:1")
    new = bed.image("other:1", Labels={"v": "2"})
    bed.engine.tag(new, "app", "1")
    assert old != new
    named = bed.engine.image("app:1")
    assert named is not None
    assert named["Id"] == new
    found = bed.engine.inspect(web["Id"])
    assert found is not None
    assert found["Image"] == old
    again = run(bed, "again", "app:1")
    assert again["Image"] == new
    lost = bed.engine.image(old)
    assert lost is not None, "an image whose name was moved by a tag is kept"
    assert not lost.get("RepoTags")
    assert {"app:1", "other:1"} <= set(bed.engine.image_names())


def test_an_image_in_use_is_not_removed(bed: Bed) -> None:
    old = bed.image("app:1", Labels={"v": "1"})
    web = run(bed, "web", "app:1")["Id"]
    with pytest.raises(EngineError) as refused:
        bed.engine.remove_image(old)
    assert refused.value.status == 409
    bed.engine.remove(web, force=True)
    bed.engine.remove_image("app:1")
    assert bed.engine.image("app:1") is None
    with pytest.raises(EngineError) as refused:
        bed.engine.remove_image("app:1")
    assert refused.value.status == 404


def test_two_networks_are_taken_at_create_or_connected_after_it(bed: Bed) -> None:
    bed.image("app:1")
    bed.network("back", "10.98.1.0/24")
    bed.network("front", "10.98.2.0/24")
    endpoints: dict[str, Any] = {"back": {"IPAMConfig": {"IPv4Address": "10.98.1.7"}}, "front": {"Aliases": ["www"]}}
    body = {"Image": "app:1", "HostConfig": {"NetworkMode": "back"}}
    at_once = {**body, "NetworkingConfig": {"EndpointsConfig": endpoints}}
    if tuple(map(int, bed.engine.facts().api_version.split("."))) < (1, 44):
        with pytest.raises(EngineError) as refused:
            bed.engine.create(CreateSpec(name="web", body=at_once))
        assert refused.value.status == 400
        first = {**body, "NetworkingConfig": {"EndpointsConfig": {"back": endpoints["back"]}}}
        made = bed.engine.create(CreateSpec(name="web", body=first, connect=(("front", endpoints["front"]),)))
    else:
        made = bed.engine.create(CreateSpec(name="web", body=at_once))
    bed.engine.start(made)
    found = bed.engine.inspect(made)
    assert found is not None
    networks = found["NetworkSettings"]["Networks"]
    assert set(networks) == {"back", "front"}
    assert networks["back"]["IPAddress"] == "10.98.1.7"
    assert "www" in networks["front"]["Aliases"]


def test_a_network_that_is_not_there_shows_at_the_start_only(bed: Bed) -> None:
    bed.image("app:1")
    body = {"Image": "app:1", "HostConfig": {"NetworkMode": "nowhere"}}
    web = bed.engine.create(CreateSpec(name="web", body=body))
    with pytest.raises(EngineError, match="nowhere") as refused:
        bed.engine.start(web)
    assert refused.value.status == 404
    assert state(bed, web) == "created"


def test_a_fixed_host_port_is_taken_once(bed: Bed) -> None:
    """So the new container can be created beside the old one, and only started after it."""
    bed.image("app:1")
    published = host(PortBindings={"80/tcp": [{"HostIp": "", "HostPort": "18080"}]})
    old = run(bed, "web", "app:1", ExposedPorts={"80/tcp": {}}, **published)["Id"]
    body = {"Image": "app:1", "ExposedPorts": {"80/tcp": {}}} | published
    new = bed.engine.create(CreateSpec(name="web.new", body=body))
    with pytest.raises(EngineError):
        bed.engine.start(new)
    bed.engine.stop(old)
    bed.engine.start(new)
    assert state(bed, new) == "running"


def test_a_reference_to_another_container_becomes_its_id(bed: Bed) -> None:
    bed.image("app:1")
    peer = run(bed, "peer", "app:1")["Id"]
    kid = run(bed, "kid", "app:1", **host(NetworkMode="container:peer"))
    assert kid["HostConfig"]["NetworkMode"] == f"container:{peer}"
    assert not (kid["NetworkSettings"]["Networks"] or {})


def test_a_container_is_made_for_a_namespace_or_a_link_before_the_other_one_runs(bed: Bed) -> None:
    """So the new ones of a whole group are there before the first old one is stopped."""
    bed.image("app:1")
    lender = bed.engine.create(CreateSpec(name="lender", body={"Image": "app:1"}))
    joins = {
        "in-network": host(NetworkMode=f"container:{lender}"),
        "in-processes": host(PidMode=f"container:{lender}"),
        "linked": host(Links=[f"{lender}:tunnel"]),
    }
    made = {
        name: bed.engine.create(CreateSpec(name=name, body={"Image": "app:1"} | body)) for name, body in joins.items()
    }
    for name in ("in-network", "in-processes"):
        with pytest.raises(EngineError):
            bed.engine.start(made[name])
    bed.engine.start(lender)
    for one in made.values():
        bed.engine.start(one)
        assert state(bed, one) == "running"


def test_a_container_is_stopped_with_the_signal_and_the_patience_that_are_asked_for(bed: Bed) -> None:
    traps = "trap 'exit 7' USR1; trap '' TERM; echo >/trapped"
    bed.image("app:1", Cmd=["sh", "-c", f"{traps}; while :; do sleep 1 & wait $!; done"])
    web = run(bed, "web", "app:1", **host(RestartPolicy={"Name": "no"}))["Id"]
    if isinstance(bed, MemoryBed):
        bed.memory.behave(web, Behaviour(exit_code=7))
    eventually(bed, "the traps", lambda: bed.engine.execute(web, ["ls", "/trapped"], timeout_s=60).code == 0)
    bed.engine.stop(web, timeout_s=60, signal="SIGUSR1")
    found = bed.engine.inspect(web)
    assert found is not None
    assert (state(bed, web), found["State"]["ExitCode"]) == ("exited", 7)
    bed.engine.stop(web, timeout_s=60, signal="SIGUSR1")
    bed.engine.start(web)
    bed.clock.sleep(0.5)
    if isinstance(bed, MemoryBed):
        bed.memory.behave(web, Behaviour(stop_takes_s=60))
    bed.engine.stop(web, timeout_s=1, signal="SIGWINCH")
    found = bed.engine.inspect(web)
    assert found is not None
    assert (state(bed, web), found["State"]["ExitCode"]) == ("exited", 137)


def test_a_command_runs_in_a_running_container(bed: Bed) -> None:
    bed.image("app:1")
    web = run(bed, "web", "app:1")["Id"]
    if isinstance(bed, MemoryBed):
        bed.memory.commands["echo told; exit 3"] = (3, "told\n", 0.0)
        bed.memory.commands["sleep 9"] = (0, "", 9.0)
    assert bed.engine.execute(web, ["sh", "-c", "true"], timeout_s=60) == Executed(code=0)
    told = bed.engine.execute(web, ["sh", "-c", "echo told; exit 3"], user="1:1", timeout_s=60)
    assert told == Executed(code=3, output="told\n")
    assert bed.engine.execute(web, ["sh", "-c", "sleep 9"], timeout_s=0.5).code is None
    bed.engine.stop(web)
    with pytest.raises(EngineError) as refused:
        bed.engine.execute(web, ["sh", "-c", "true"], timeout_s=60)
    assert refused.value.status == 409


def test_the_image_gives_what_the_user_left_out(bed: Bed) -> None:
    bed.image(
        "app:1",
        Env=["PATH=/bin", "LEVEL=info"],
        Labels={"maker": "us", "tier": "image"},
        WorkingDir="/work",
        User="1000",
        ExposedPorts={"80/tcp": {}},
        Healthcheck=GOOD_PROBE,
    )
    web = run(bed, "web", "app:1", Env=["LEVEL=debug"], Labels={"tier": "user"}, Healthcheck={"Retries": 5})["Config"]
    assert sorted(web["Env"]) == ["LEVEL=debug", "PATH=/bin"]
    assert web["Labels"] == {"maker": "us", "tier": "user"}
    assert (web["WorkingDir"], web["User"]) == ("/work", "1000")
    assert "80/tcp" in web["ExposedPorts"]
    assert web["Healthcheck"]["Retries"] == 5
    assert web["Healthcheck"]["Test"] == GOOD_PROBE["Test"]


@pytest.mark.parametrize(
    ("given", "entrypoint", "command"),
    [
        ({}, ["sh"], ["-c", "sleep 99"]),
        ({"Cmd": ["-c", "sleep 9"]}, ["sh"], ["-c", "sleep 9"]),
        ({"Entrypoint": ["cat"]}, ["cat"], []),
        ({"Entrypoint": [""], "Cmd": ["sleep", "9"]}, [], ["sleep", "9"]),
    ],
)
def test_an_entrypoint_keeps_the_images_command_out(
    given: dict[str, Any], entrypoint: list[str], command: list[str], bed: Bed
) -> None:
    bed.image("app:1", Entrypoint=["sh"], Cmd=["-c", "sleep 99"])
    made = bed.engine.create(CreateSpec(name="web", body={"Image": "app:1"} | given))
    found = bed.engine.inspect(made)
    assert found is not None
    assert (found["Config"]["Entrypoint"] or [], found["Config"]["Cmd"] or []) == (entrypoint, command)
