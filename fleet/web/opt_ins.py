"""What the doctor says of opt-ins: rights that are off unless a policy takes them."""

from fleet.api.doctor import Check, Grade
from fleet.history import hosts, policies
from fleet.history.database import Database


def hooks(db: Database) -> Check:
    """Say on which hosts commands that labels name are run in containers."""
    effective = policies.effective_policies(db)
    names = sorted(row.name for row in hosts.hosts(db) if row.id in effective and effective[row.id].policy.hooks)
    if not names:
        return Check(id="hooks", grade=Grade.PASS, text="hooks in containers are off")
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return Check(
        id="hooks",
        grade=Grade.WARN,
        text=f"hooks are run in containers of {shown}",
        cause="whoever may set labels of containers there may run commands in them",
        fix='fleet policy apply, with "hooks = false", where they are not needed',
    )
