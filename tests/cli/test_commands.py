"""What people type, over a real server: the way of an update, and everything beside it."""

import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet.cli import doctor
from fleet.history.mirrors.probes import ask_probes
from fleet.history.registries import tags
from fleet.history.rules import policies
from fleet.history.tables.words import PolicyKind
from fleet.mirrors.attempt import Attempt, AttemptResult
from fleet.mirrors.probe import MirrorProbe, ProbeState
from fleet.mirrors.source import Role
from fleet.road.join import JoinFile
from fleet.road.messages import Heartbeat, HostFacts, Probed
from fleet.road.up import lets_in
from fleet.road.versions import READS
from fleet.updates.outcome import Result
from tests.cli.conftest import Fleet
from tests.controller.centre import BY, DOOR, NEW, OLD, Centre, ScriptedHost, nginx
from tests.history.conftest import HeldClock
from tests.web.test_routes import IMAGE, carry_out

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("served")]


@pytest.fixture
def moved(centre: Centre, web1: ScriptedHost) -> ScriptedHost:
    """A host whose one container is outdated."""
    tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
    return web1


class TestHost:
    def test_adding_writes_a_join_file_for_its_owner_alone(self, fleet: Fleet, centre: Centre, tmp_path: Path) -> None:
        file = tmp_path / "web-1.join"
        ran = fleet("host", "add", "web-1", "--label", "env=prod", "--out", str(file))
        assert ran.code == 0, ran.err
        assert "fleet agent --join" in ran.err
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        joined = JoinFile.read(file)
        assert joined.host_name == "web-1"
        client = joined.broker.client()
        assert client.ping()
        client.close()

    def test_the_centre_never_learns_the_secrets(self, fleet: Fleet, centre: Centre, tmp_path: Path) -> None:
        fleet("host", "add", "web-1", "--out", str(tmp_path / "j"))
        joined = JoinFile.read(tmp_path / "j")
        database = b"".join(file.read_bytes() for file in centre.settings.state_dir.glob("fleet.db*"))
        assert b"web-1" in database
        assert joined.broker.password.encode() not in database
        assert json.loads(joined.key.private_text())["d"].encode() not in database

    def test_the_join_file_goes_to_stdout_where_that_is_wanted(self, fleet: Fleet) -> None:
        ran = fleet("host", "add", "web-1", "--out", "-")
        assert JoinFile.parse(ran.out).host_name == "web-1"

    def test_a_file_is_never_overwritten_unasked(self, fleet: Fleet, tmp_path: Path) -> None:
        (tmp_path / "j").write_text("precious")
        ran = fleet("host", "add", "web-1", "--out", str(tmp_path / "j"))
        assert (ran.code, (tmp_path / "j").read_text()) == (6, "precious")
        assert "no hosts" in fleet("host", "ls").err

    def test_a_host_whose_file_cannot_be_written_is_not_added(self, fleet: Fleet, tmp_path: Path) -> None:
        ran = fleet("host", "add", "web-1", "--out", str(tmp_path / "no" / "j"))
        assert ran.code == 1
        assert ran.err.startswith("cannot write the join file")
        assert "no hosts" in fleet("host", "ls").err

    def test_joining_again_writes_another_file_and_voids_the_first(self, fleet: Fleet, tmp_path: Path) -> None:
        fleet("host", "add", "web-1", "--label", "env=prod", "--out", str(tmp_path / "first"))
        ran = fleet("host", "rejoin", "web-1", "--out", str(tmp_path / "second"))
        assert ran.code == 0, ran.err
        assert "the old one is void" in ran.out
        first, second = JoinFile.read(tmp_path / "first"), JoinFile.read(tmp_path / "second")
        assert (first.host_id, first.host_name) == (second.host_id, second.host_name)
        assert first.key.kid != second.key.kid
        assert [lets_in(each.broker) for each in (first, second)] == [False, True]
        assert json.loads(fleet("host", "show", "web-1", "-o", "json").out)["host"]["labels"] == {"env": "prod"}
        assert "host rejoin" in fleet("audit", "--action", "host rejoin").out

    def test_an_unknown_host_cannot_join_again(self, fleet: Fleet, tmp_path: Path) -> None:
        ran = fleet("host", "rejoin", "web-9", "--out", str(tmp_path / "j"))
        assert ran.code != 0
        assert ran.err.startswith("cannot find the host 'web-9'")
        assert not (tmp_path / "j").exists()

    def test_joining_again_overwrites_no_file_unasked_and_voids_nothing_then(
        self, fleet: Fleet, tmp_path: Path
    ) -> None:
        fleet("host", "add", "web-1", "--out", str(tmp_path / "j"))
        ran = fleet("host", "rejoin", "web-1", "--out", str(tmp_path / "j"))
        assert ran.code == 6
        assert lets_in(JoinFile.read(tmp_path / "j").broker)

    def test_hosts_are_listed_and_shown(self, fleet: Fleet, web1: ScriptedHost) -> None:
        listed = fleet("host", "ls")
        assert listed.lines[1].split()[:2] == ["web-1", "online"]
        shown = fleet("host", "show", "web-1")
        assert "linux/amd64" in shown.out

    def test_a_host_tells_where_it_stands_in_rollouts(self, fleet: Fleet, centre: Centre, web1: ScriptedHost) -> None:
        """One whose turn did not come has no outcome that could tell why."""
        tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
        assert fleet("update", "web-1", "--detach", "--no-check").code == 0
        assert fleet("rollout", "pause", "1").code == 0
        (line,) = [line for line in fleet("host", "show", "web-1").lines if line.startswith("rollout:")]
        assert line.startswith("rollout:  #1 pending since 20")
        assert line.endswith(" (planned, held: user)")

    def test_labels_are_given_and_taken_and_the_rest_stays(self, fleet: Fleet, web1: ScriptedHost) -> None:
        for words, left in (
            (("env=prod", "site=paris"), "env=prod,site=paris"),
            (("site=rome", "rack=3"), "env=prod,rack=3,site=rome"),
            (("ring=1", "--drop", "rack", "--drop", "nothing"), "env=prod,ring=1,site=rome"),
            (("--drop", "ring"), "env=prod,site=rome"),
            (("env=test", "--only"), "env=test"),
            (("--only",), "-"),
        ):
            assert fleet("host", "label", "web-1", *words).out == f"host web-1: {left}\n"
        (act,) = json.loads(fleet("audit", "--limit", "1", "-o", "json").out)["acts"]
        assert (act["action"], act["details"]) == ("host label", {"labels": {}})

    def test_labels_that_cannot_be_given_change_nothing(self, fleet: Fleet, web1: ScriptedHost) -> None:
        fleet("host", "label", "web-1", *(f"l{n}=x" for n in range(100)))
        for words in (
            (),
            ("env",),
            ("l0=y", "--only", "--drop", "l1"),
            ("one-more=x",),
            ("timezone=Mars", "--drop", "l1"),
        ):
            ran = fleet("host", "label", "web-1", *words)
            assert (ran.code, ran.out, ran.err.startswith("cannot ")) == (1, "", True), words
        labels = json.loads(fleet("host", "show", "web-1", "-o", "json").out)["host"]["labels"]
        assert labels == {f"l{n}": "x" for n in range(100)}

    def test_renaming_labelling_and_removing(self, fleet: Fleet, web1: ScriptedHost) -> None:
        assert fleet("host", "rename", "web-1", "web-9").code == 0
        assert "env=prod" in fleet("host", "label", "web-9", "env=prod").out
        refused = fleet("host", "rm", "web-9")
        assert (refused.code, "--yes" in refused.err) == (6, True)
        assert fleet("host", "rm", "web-9", "--yes").code == 0
        assert fleet("host", "show", "web-9").code == 5


class TestUpdate:
    def test_a_plan_shows_old_and_new(self, fleet: Fleet, moved: ScriptedHost) -> None:
        ran = fleet("plan", "--no-check")
        assert ran.code == 0, ran.err
        assert f"{OLD[7:19]} -> {NEW[7:19]}" in ran.out
        assert "https://registry-1.docker.io" in ran.out
        assert "fleet apply" in ran.err
        assert "configuration of web-1/web (nginx:1):\n  not known: the centre cannot look at nginx@" in ran.out

    def test_exit_code_10_says_that_something_would_change(self, fleet: Fleet, moved: ScriptedHost) -> None:
        assert fleet("plan", "--no-check", "--exit-code").code == 10
        assert fleet("plan", "--no-check", "--exit-code", "--container", "other").code == 0

    def test_a_plan_is_applied_by_id_and_by_file(self, fleet: Fleet, moved: ScriptedHost, tmp_path: Path) -> None:
        file = tmp_path / "plan.json"
        made = json.loads(fleet("plan", "--no-check", "-o", "json", "--out", str(file)).out)
        assert json.loads(file.read_text()) == made
        # Meanwhile the host may have told of other mirrors: they are no part of what was planned.
        elsewhere = json.loads(json.dumps(made))
        for host in elsewhere["plan"]["hosts"]:
            for target in host["targets"]:
                target["route"] = ["https://elsewhere.example"]
        file.write_text(json.dumps(elsewhere))
        ran = fleet("apply", str(file), "--detach", "-o", "json")
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["plan"]["id"] == made["plan"]["id"]

    def test_a_file_that_was_changed_is_refused(self, fleet: Fleet, moved: ScriptedHost, tmp_path: Path) -> None:
        """What a person reviewed is what is applied, or nothing."""
        file = tmp_path / "plan.json"
        fleet("plan", "--no-check", "--out", str(file))
        file.write_text(file.read_text().replace(NEW, f"sha256:{'2' * 64}"))
        ran = fleet("apply", str(file))
        assert (ran.code, ran.err.startswith("cannot apply")) == (6, True)
        assert "no rollouts yet" in fleet("rollout", "ls").err

    def test_an_update_is_ordered_and_watched_to_its_end(
        self, fleet: Fleet, centre: Centre, moved: ScriptedHost
    ) -> None:
        detached = fleet("update", "web-1", "web", "--no-check", "-d")
        assert detached.code == 0, detached.err
        assert "fleet rollout watch" in detached.out
        carry_out(centre, moved)
        ran = fleet("rollout", "watch", "#1")
        assert ran.code == 0, ran.err
        assert ran.lines[-1].endswith("completed")
        assert "updated" in ran.out
        assert "web-1" in ran.out
        assert not ran.err, "what had ended before the watch began is told by its end alone"

    def test_host_and_container_may_be_one_word_as_plans_print_them(
        self, fleet: Fleet, centre: Centre, moved: ScriptedHost
    ) -> None:
        assert fleet("update", "web-1/nobody", "--no-check").code == 5
        assert "fleet rollout watch 1" in fleet("update", "web-1/web", "--no-check", "-d").out

    def test_a_rollback_ends_with_3_and_says_where_to_look(
        self, fleet: Fleet, centre: Centre, moved: ScriptedHost
    ) -> None:
        fleet("update", "web-1", "--no-check", "-d")
        carry_out(centre, moved, Result.ROLLED_BACK)
        ran = fleet("rollout", "watch", "#1", "-o", "json")
        assert ran.code == 3
        document = json.loads(ran.out)
        assert document["rollout"]["state"] == "completed_with_failures"
        assert [o["result"] for o in document["outcomes"]] == ["rolled_back"]

    def test_waiting_has_an_end_and_the_work_has_not(self, fleet: Fleet, moved: ScriptedHost) -> None:
        ran = fleet("update", "web-1", "--no-check", "--timeout", "1s")
        assert ran.code == 7
        assert "goes on; watch it with" in ran.err
        assert "planned" in fleet("rollout", "ls").out or "running" in fleet("rollout", "ls").out

    def test_nothing_to_do_is_well(self, fleet: Fleet, centre: Centre, web1: ScriptedHost) -> None:
        tags.record_resolved(centre.db, IMAGE, OLD, "https://registry-1.docker.io")
        ran = fleet("update", "web-1", "--no-check")
        assert (ran.code, "nothing to update" in ran.err) == (0, True)

    def test_what_alone_was_asked_for_and_is_left_out_is_not_well(
        self, fleet: Fleet, centre: Centre, web1: ScriptedHost
    ) -> None:
        tags.record_failed(centre.db, IMAGE, "cannot ask registry-1.docker.io: it does not answer")
        alone, whole = fleet("update", "web-1", "web", "--no-check"), fleet("update", "web-1", "--no-check")
        assert (alone.code, alone.out) == (6, "")
        assert "cannot ask registry-1.docker.io: it does not answer" in alone.err
        assert "nothing to update" not in alone.err
        assert (whole.code, "left out: web-1 web: cannot ask" in whole.err) == (0, True)

    def test_a_rollout_is_paused_and_resumed(self, fleet: Fleet, moved: ScriptedHost) -> None:
        fleet("update", "web-1", "--no-check", "-d")
        assert fleet("rollout", "pause", "#1").out.endswith("held: user\n")
        assert "held: user" in fleet("rollout", "show", "#1").out
        assert "held" not in fleet("rollout", "resume", "#1").out

    def test_a_rollout_is_aborted(self, fleet: Fleet, moved: ScriptedHost) -> None:
        fleet("update", "web-1", "--no-check", "-d")
        assert "abort" in fleet("rollout", "abort", "#1", "--reason", "no").out
        assert "abort" in fleet("rollout", "show", "#1").out


class TestLooking:
    def test_containers_are_listed(self, fleet: Fleet, web1: ScriptedHost) -> None:
        ran = fleet("ps")
        assert ran.lines[1].split()[:3] == ["web-1", "web", "nginx:1"]
        assert len(fleet("ps", "web-*").lines) == 2
        assert "no container fits" in fleet("ps", "--host", "db-*").err

    def test_json_is_the_apis_own_document(self, fleet: Fleet, web1: ScriptedHost) -> None:
        document = json.loads(fleet("ps", "-o", "json").out)
        assert document["schema"] == "v1"
        assert document["containers"][0]["name"] == "web"

    def test_outdated_says_how_each_stands(self, fleet: Fleet, centre: Centre, web1: ScriptedHost) -> None:
        assert "unknown" in fleet("outdated").out
        tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
        assert "outdated" in fleet("outdated").out
        tags.record_resolved(centre.db, IMAGE, OLD, "https://registry-1.docker.io")
        assert fleet("outdated").err == "nothing is outdated; 1 container is current\n"
        earlier = HeldClock()
        earlier.at = centre.db.now() - timedelta(hours=3)
        tags.record_resolved(replace(centre.db, clock=earlier), IMAGE, OLD, "https://registry-1.docker.io")
        told = "nothing is outdated; 1 container is current, by a check 3h ago (fleet outdated --check asks anew)\n"
        assert fleet("outdated").err == told

    def test_what_follows_no_tag_is_counted_apart(self, fleet: Fleet, centre: Centre, web1: ScriptedHost) -> None:
        """It is known that nothing can be newer: it is no unknown, and nobody is to look after it."""
        web1.snapshot(nginx(), nginx("pinned", reference=f"nginx@{OLD}"))
        centre.turn()
        tags.record_resolved(centre.db, IMAGE, OLD, "https://registry-1.docker.io")
        assert fleet("outdated").err == "nothing is outdated; 1 container is current; 1 pinned to a digest\n"
        assert fleet("outdated", "--container", "web").err == "nothing is outdated; 1 container is current\n"
        assert json.loads(fleet("outdated", "-o", "json").out)["containers"] == []
        tags.record_resolved(centre.db, IMAGE, NEW, "https://registry-1.docker.io")
        assert [line.split()[:3] for line in fleet("outdated", "--no-headers").lines] == [["web-1", "web", "outdated"]]

    def test_where_nothing_runs_nothing_is_called_current(self, fleet: Fleet) -> None:
        assert fleet("outdated").err == fleet("ps").err == "no containers; is an agent running? see: fleet host ls\n"

    def test_where_nothing_fits_nobody_is_sent_to_look_for_an_agent(self, fleet: Fleet, web1: ScriptedHost) -> None:
        for args in (("ps",), ("outdated",), ("plan", "--no-check")):
            assert fleet(*args, "--image", "nothing").err == "no container fits; see all of them with: fleet ps\n"

    def test_the_history_is_asked_and_shown(self, fleet: Fleet, centre: Centre, moved: ScriptedHost) -> None:
        fleet("update", "web-1", "--no-check", "-d")
        carry_out(centre, moved)
        for args in ((), ("ls",), ("--host", "web-1", "--since", "1h"), ("--outcome", "updated", "--image", "nginx")):
            ran = fleet("history", *args)
            assert len(ran.lines) == 2, (args, ran.err)
        short = fleet("history").lines[1].split()[0]
        assert len(short) == 8
        shown = fleet("history", "show", short)
        assert shown.code == 0, shown.err
        assert NEW in shown.out and "downtime:   0.7 s" in shown.out and "1.0 kB in" in shown.out
        assert "nothing in the history fits" in fleet("history", "--outcome", "failed").err

    def test_what_mirrors_are_worth(
        self, fleet: Fleet, centre: Centre, moved: ScriptedHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pulls, mirror = moved.pulls, "https://harbor.lan"
        gave = Attempt(
            source=mirror,
            role=Role.MIRROR,
            result=AttemptResult.SERVED,
            bytes=1000,
            duration_ms=20,
            redirected_to=("cdn.lan:5000",),
        )
        monkeypatch.setattr(moved, "pulls", lambda order: tuple(replace(p, attempts=(gave,)) for p in pulls(order)))
        assert fleet("mirror", "stats").err.strip() == "nothing was pulled (--since 30d)"
        assert fleet("update", "web-1", "--no-check", "-d").code == 0
        carry_out(centre, moved)
        told = fleet("mirror", "stats")
        assert told.err.startswith("of the newest pulls, 1 came from mirrors (")
        assert told.err.strip().endswith(
            "/s), 0 failed, and the registries were spared 1.0 kB of 1.0 kB; see: fleet history compared"
        )
        assert "sent to cdn.lan:5000" in fleet("history", "show", fleet("history").lines[1].split()[0]).out
        assert "compared" not in fleet("mirror", "stats", "-o", "json").err

    def test_hosts_alike_are_told_of_together(self, fleet: Fleet, centre: Centre, web1: ScriptedHost) -> None:
        """Of a thousand hosts nobody reads a thousand times the same; who differs stands apart."""
        for name in ("web-2", "web-3"):
            host = centre.add_host(name)
            host.heartbeat()
            host.snapshot(nginx())
        centre.turn()
        for kind, subject, url in (
            (PolicyKind.FLEET, "", "https://harbor.lan"),
            (PolicyKind.HOST, "web-3", "https://other.lan"),
        ):
            document = {"mirrors": [{"for": "docker.io", "url": url}]}
            policies.set_policy(centre.db, kind, subject, document, by=BY, door=DOOR)
        lines = fleet("mirror", "explain", "nginx:1").lines
        assert [line for line in lines if line.endswith(":")] == ["web-1, web-2:", "web-3:"]
        rules = fleet("mirror", "ls", "--columns", "host,mirror", "--no-headers").lines
        assert [" ".join(rule.split()) for rule in rules] == [
            "(policy) web-1, web-2 https://harbor.lan",
            "(policy) web-3 https://other.lan",
        ]

    def test_how_mirrors_are_asked(self, fleet: Fleet, centre: Centre, web1: ScriptedHost, tmp_path: Path) -> None:
        (tmp_path / "p.toml").write_text(
            'strategy = "fastest"\n[[mirrors]]\nfor = "docker.io"\nurl = "https://harbor.lan"\n'
            'auth = "none"\nproxy = "http://p.lan:1"\n'
        )
        assert fleet("policy", "apply", "-f", str(tmp_path / "p.toml")).code == 0
        web1.say(Heartbeat(facts=HostFacts(agent_version="2", reads=READS), host_time=datetime.now(UTC)))
        (request,) = ask_probes(centre.db, [web1.id], by="schedule").values()
        look = MirrorProbe(
            mirror="https://harbor.lan", registry="docker.io", state=ProbeState.OK, bytes_per_s=12_340_000
        )
        web1.say(Probed(request=request, mirrors=(look,)))
        centre.turn()
        listed = fleet("mirror", "ls")
        assert "the fastest mirror is asked first on web-1" in listed.err
        assert "http://p.lan:1" in listed.out
        explained = fleet("mirror", "explain", "nginx", "--host", "web-1").out
        assert "web-1, the fastest mirror first:" in explained
        assert "  1 https://harbor.lan  mirror of docker.io (" in explained
        assert ") without a login by the proxy http://p.lan:1 12.3 MB/s  ok at " in explained

    def test_mirrors_and_routes(self, fleet: Fleet, centre: Centre, web1: ScriptedHost, tmp_path: Path) -> None:
        (tmp_path / "p.toml").write_text('[[mirrors]]\nfor = "docker.io"\nurl = "https://harbor.lan"\n')
        assert "version 1" in fleet("policy", "apply", "-f", str(tmp_path / "p.toml")).out
        assert "harbor.lan" in fleet("mirror", "ls").out
        explained = fleet("mirror", "explain", "nginx", "--host", "web-1")
        assert explained.code == 0, explained.err
        assert explained.out.index("harbor.lan") < explained.out.index("registry-1.docker.io")
        request = ask_probes(centre.db, [web1.id], by="a test")[web1.id]
        down = MirrorProbe(
            mirror="https://harbor.lan", registry="docker.io", state=ProbeState.DOWN, reason="cannot reach it"
        )
        web1.say(Probed(request=request, mirrors=(down,)))
        centre.turn()
        lines = fleet("mirror", "explain", "nginx", "--host", "web-1").lines
        (place,) = [place for place, line in enumerate(lines) if "harbor.lan" in line]
        assert "mirror of docker.io (policy" in lines[place] and "  down at 20" in lines[place]
        assert lines[place + 1].strip() == "cannot reach it"
        assert "harbor.lan" in fleet("policy", "show").out
        assert "policy of fleet: taken away" in fleet("policy", "rm").out
        assert "no policy was written" in fleet("policy", "show").err

    def test_schedules(self, fleet: Fleet) -> None:
        made = fleet("schedule", "create", "nightly", "--cron", "0 3 * * 1-5", "--zone", "Europe/Berlin")
        assert made.code == 0, made.err
        assert sum(line.startswith("  next ") for line in made.lines) == 3
        assert "nightly" in fleet("schedule", "ls").out
        assert "paused" in fleet("schedule", "pause", "nightly").out
        assert fleet("schedule", "resume", "nightly").code == 0
        assert fleet("schedule", "run", "nightly").code == 0
        assert fleet("schedule", "rm", "nightly").code == 0
        assert fleet("schedule", "show", "nightly").code == 5

    def test_tokens(self, fleet: Fleet) -> None:
        made = fleet("token", "create", "ci", "--scope", "write", "--ttl", "90d")
        assert made.out.startswith("fpat_")
        listed = fleet("token", "ls")
        assert "write" in listed.out and made.out.strip() not in listed.out
        assert fleet("token", "revoke", "ci").code == 0
        assert "revoked" in fleet("token", "ls").out

    def test_a_plan_where_no_container_is_known_does_not_say_that_all_is_well(self, fleet: Fleet) -> None:
        assert fleet("plan", "--no-check").err == "no containers; is an agent running? see: fleet host ls\n"

    def test_doctor_is_well_with_a_host_and_a_tick(self, fleet: Fleet, centre: Centre, web1: ScriptedHost) -> None:
        ran = fleet("doctor")
        assert ran.code == 0, ran.out
        assert ran.lines[0].startswith("PASS")
        (last,) = [line for line in ran.lines if "looked for and not found" in line]
        assert last == ran.lines[-1]
        document = json.loads(fleet("doctor", "-o", "json").out)
        assert {check["id"] for check in document["checks"]} >= {"server", "database", "broker", "scheduler"}
        assert last.split()[1] == str(sum(check["absent"] for check in document["checks"])) != "0"

    def test_doctor_looks_at_one_host_in_full(
        self, fleet: Fleet, centre: Centre, web1: ScriptedHost, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also at what is well; one whose agent does not answer now is not well, whatever it told before."""
        monkeypatch.setattr(doctor, "ANSWERS_WITHIN_S", 0.0)
        problem = "daemon-json-broken: cannot read daemon.json; see: dockerd --validate"
        facts = HostFacts(agent_version="0.0.9", engine_name="web-1", engine_version="26.1.5", problems=(problem,))
        web1.say(Heartbeat(facts=facts, host_time=datetime.now(UTC)))
        down = MirrorProbe(
            mirror="https://m.lan", registry="docker.io", state=ProbeState.DOWN, reason="cannot reach it"
        )
        request = ask_probes(centre.db, [web1.id], by="a test")[web1.id]
        web1.say(Probed(request=request, mirrors=(down,)))
        centre.turn()
        told = json.loads(fleet("doctor", "--host", "web-1", "-o", "json").out)["checks"]
        grades = {check["id"]: check["grade"] for check in told}
        assert grades == {
            **{"server": "PASS", "host.answers": "FAIL", "host.heard": "PASS", "host.engine": "PASS"},
            **{"host.agent": "WARN", "host.outcomes": "PASS", "host.pulls": "SKIP", "host.mirror": "WARN"},
            "daemon-json-broken": "FAIL",
        }
        assert fleet("doctor", "--host", "web-9").code == 5

    def test_doctor_fails_where_something_does(self, fleet: Fleet, centre: Centre) -> None:
        (centre.settings.state_dir / "centre.pub").unlink()
        ran = fleet("doctor")
        assert ran.code == 1
        assert any(line.startswith("FAIL") for line in ran.lines)
        assert any(line.strip().startswith("fix:") for line in ran.lines)

    def test_healthcheck(self, fleet: Fleet) -> None:
        assert fleet("healthcheck").code == 0
