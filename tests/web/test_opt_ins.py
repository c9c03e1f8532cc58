"""What the doctor says of rights that are off unless a policy takes them."""

from sqlalchemy import update
from starlette.testclient import TestClient

from fleet.api.doctor import Grade
from fleet.history.rules import policies
from fleet.history.sql.database import Database
from fleet.history.tables.facts import pulls
from fleet.history.tables.words import PolicyKind
from fleet.updates.outcome import Tier
from fleet.web import opt_ins
from tests.controller.centre import Centre, ScriptedHost
from tests.history.world import BY
from tests.web.test_routes import API, _move_tag, carry_out


def test_hooks_are_off_until_a_policy_allows_them_and_then_shown(db: Database, web1: ScriptedHost) -> None:
    off = opt_ins.hooks(db)
    assert (off.grade, off.text) == (Grade.PASS, "hooks in containers are off")
    policies.set_policy(db, PolicyKind.FLEET, "", {"hooks": True}, **BY)
    on = opt_ins.hooks(db)
    assert (on.grade, on.text) == (Grade.WARN, "hooks are run in containers of web-1")


def test_whoever_lets_agents_write_hosts_toml_is_shown(
    http: TestClient, db: Database, centre: Centre, web1: ScriptedHost
) -> None:
    _move_tag(centre)
    http.post(f"{API}/updates", json={"host": "web-1", "check": False})
    carry_out(centre, web1)
    assert opt_ins.hosts_toml(db).grade is Grade.PASS, "it came by loopback"
    with db.writing() as connection:
        connection.execute(update(pulls).values(tier=Tier.NATIVE))
    on = opt_ins.hosts_toml(db)
    assert (on.grade, on.text) == (Grade.WARN, "agents write hosts.toml files below certs.d of web-1")
