"""The containers that meet the faults: between them an update takes every call that a recreate knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet.updates.command import LooseFiles, Policy, VerifyPolicy

VERIFY = VerifyPolicy(settle_ms=300, deadline_ms=60_000)
PATIENT = VerifyPolicy(settle_ms=20_000, deadline_ms=60_000)
"""For what ends at once: a busy machine's engine may take seconds to see that it did, and when it saw it nobody waits."""
NETWORK = "faults"
"""The network that a container is in beside the default one: engines of API 1.41 connect it after create."""
LOOSE = "/etc/app.conf"
"""A file of the old container's writable layer."""
QUIET = ("sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait $!")
"""A program that costs nothing and ends at once when it is told to."""
ENDS = ("sh", "-c", "exit 3")
PATIENCE = {"StopTimeout": 1}
FOLLOWER = "kid"
"""What the follower's name ends in, after a dot."""
HOOKS = "/data/hooks"
"""Where hooks write which of them ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One container and its newer image."""

    body: Mapping[str, Any]
    policy: Policy = field(default_factory=lambda: Policy(verify=VERIFY))
    networks: tuple[str, ...] = ()
    loose: bool = False
    """Whether a file stands in its writable layer, which the policy copies."""
    good: bool = True
    """Whether the newer image can be verified."""
    follower: bool = False
    """Whether another container lives in its network."""
    hooks: bool = False
    """Whether hooks are run in it before and after."""
    outlives: bool = True
    """Whether the engine itself keeps it over a restart of the engine, before anything of it was touched."""


SHAPES: dict[str, Shape] = {
    "always": Shape(
        body=PATIENCE | {"HostConfig": {"RestartPolicy": {"Name": "always"}}},
        policy=Policy(verify=VERIFY, loose_files=LooseFiles.COPY),
        networks=(NETWORK,),
        loose=True,
    ),
    "broken": Shape(
        body=PATIENCE | {"HostConfig": {"RestartPolicy": {"Name": "always"}}}, policy=Policy(verify=PATIENT), good=False
    ),
    "start-first": Shape(
        body=PATIENCE
        | {
            "HostConfig": {"RestartPolicy": {"Name": "always"}},
            "Labels": {"fleet.update.order": "start-first", "fleet.update.volumes": "shared"},
        }
    ),
    "rm": Shape(body=PATIENCE | {"HostConfig": {"AutoRemove": True}}, outlives=False),
    "follower": Shape(body=PATIENCE | {"HostConfig": {"RestartPolicy": {"Name": "always"}}}, follower=True),
    "hooks": Shape(
        body=PATIENCE
        | {
            "HostConfig": {"RestartPolicy": {"Name": "always"}},
            "Labels": {
                "fleet.hook.pre-update": f"echo pre >> {HOOKS}",
                "fleet.hook.post-update": f"echo post >> {HOOKS}",
                "fleet.hook.user": "0",
            },
        },
        policy=Policy(verify=VERIFY, hooks=True),
        hooks=True,
    ),
}
"""Each has data in an anonymous volume. None is ``unless-stopped``: an engine from 26.1 on that was killed stops such a
container when it comes back, and takes that for a person's wish."""
MEANING = {
    "always": "restarted always, in two networks, with a file in its writable layer that is copied",
    "broken": "its newer image exits, so that the faults meet the way back",
    "start-first": "its newer container starts while it runs",
    "rm": "`--rm`: the engine removes it when it stops",
    "follower": "another container lives in its network, and is recreated with it",
    "hooks": "a command is run in the old container before, and one in the newer afterwards",
}
