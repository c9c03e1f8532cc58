"""What the doctor says of rights that are off unless a policy takes them."""

from fleet.api.doctor import Grade
from fleet.history import policies
from fleet.history.database import Database
from fleet.history.words import PolicyKind
from fleet.web import opt_ins
from tests.controller.centre import ScriptedHost
from tests.history.world import BY


def test_hooks_are_off_until_a_policy_allows_them_and_then_shown(db: Database, web1: ScriptedHost) -> None:
    off = opt_ins.hooks(db)
    assert (off.grade, off.text) == (Grade.PASS, "hooks in containers are off")
    policies.set_policy(db, PolicyKind.FLEET, "", {"hooks": True}, **BY)
    on = opt_ins.hooks(db)
    assert (on.grade, on.text) == (Grade.WARN, "hooks are run in containers of web-1")
