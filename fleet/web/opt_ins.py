"""What the doctor says of opt-ins: rights that are off unless somebody takes them."""

from fleet.api.doctor import Check, Grade
from fleet.history.inventory import hosts
from fleet.history.inventory.tiers import hosts_by_tier
from fleet.history.rules import policies
from fleet.history.sql.database import Database
from fleet.rollouts.naming import named
from fleet.updates.outcome import Tier


def hooks(db: Database) -> Check:
    """Say on which hosts commands that labels name are run in containers."""
    effective = policies.effective_policies(db)
    names = sorted(row.name for row in hosts.hosts(db) if row.id in effective and effective[row.id].policy.hooks)
    if not names:
        return Check(id="hooks", grade=Grade.PASS, text="hooks in containers are off")
    return Check(
        id="hooks",
        grade=Grade.WARN,
        text=f"hooks are run in containers of {named(names)}",
        cause="whoever may set labels of containers there may run commands in them",
        fix='fleet policy apply, with "hooks = false", where they are not needed',
    )


def hosts_toml(db: Database) -> Check:
    """Say on which hosts agents write files into Docker's configuration, as their last pulls show."""
    names = hosts_by_tier(db, Tier.NATIVE)
    if not names:
        return Check(id="hosts-toml", grade=Grade.PASS, text="no agent writes hosts.toml files")
    return Check(
        id="hosts-toml",
        grade=Grade.WARN,
        text=f"agents write hosts.toml files below certs.d of {named(names)}",
        cause="manage_hosts_toml is set there; every pull on such a host goes by the policy's mirrors",
        fix="take manage_hosts_toml away where it is not wanted, and start the agent again",
    )
