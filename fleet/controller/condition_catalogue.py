"""The catalogue of conditions: when each is shown, how urgent it is, and what to do about it."""

from datetime import timedelta

from fleet.controller import condition_looks as looks
from fleet.controller.condition import Kind, Severity
from fleet.mirrors.probe import ProbeState
from fleet.notify.rule import FAILING

CATALOGUE: tuple[Kind, ...] = (
    Kind(
        code="scheduler-late",
        title="The scheduler does not run",
        severity=Severity.ERROR,
        look=looks.late,
        after=timedelta(minutes=1),
        remedy="look at the logs of planner and beat: fleet controller",
    ),
    Kind(
        code="inbox-behind",
        title="The inbox is behind",
        severity=Severity.ERROR,
        look=looks.behind,
        remedy="look at the log of the inbox, and for a host that floods it",
    ),
    Kind(
        code="rollback-failed",
        title="A way back failed",
        severity=Severity.ERROR,
        look=looks.rollbacks,
        remedy="look at the container on its host, then update it again",
    ),
    Kind(
        code="duplicate-engine",
        title="Two hosts share one engine",
        severity=Severity.ERROR,
        look=looks.twins,
        remedy="remove one with fleet host rm, or give a cloned machine an engine id of its own; only the one that was"
        " added first is updated",
    ),
    Kind(
        code="two-agents",
        title="Two agents speak as one host",
        severity=Severity.ERROR,
        look=looks.rivals,
        remedy="stop the one that is too many, then: fleet host rejoin NAME, for the other; a cloned machine is a host of"
        " its own: fleet host add",
    ),
    Kind(
        code="host-flooding",
        title="A host floods the broker",
        severity=Severity.ERROR,
        look=looks.flooding,
        remedy="look at what its agent does, and whether that is your agent; fleet host rejoin NAME lets it send at once",
    ),
    Kind(
        code="rollout-held",
        title="A rollout waits for a person",
        severity=Severity.WARNING,
        look=looks.held,
        remedy="see what it waits for: fleet rollout ls",
    ),
    Kind(
        code="login-refused",
        title="A void login is tried",
        severity=Severity.WARNING,
        look=looks.strangers,
        after=timedelta(minutes=3),
        remedy="a join file was used on two machines, or a host lost its state: fleet host rejoin NAME",
    ),
    Kind(
        code="host-silent",
        title="A host is silent",
        severity=Severity.WARNING,
        look=looks.silent,
        after=timedelta(minutes=20),
        depends=("inbox-behind",),
        remedy="is the machine up, its agent running, and the broker reachable from it?",
    ),
    Kind(
        code="host-never-joined",
        title="A host never joined",
        severity=Severity.INFO,
        look=looks.never_joined,
        after=timedelta(hours=1),
        depends=("inbox-behind",),
        remedy="start its agent with its join file: fleet agent --join FILE",
    ),
    Kind(
        code="host-problem",
        title="A host has a problem",
        severity=Severity.WARNING,
        look=looks.problems,
        depends=("host-silent",),
        remedy="see: fleet doctor",
    ),
    Kind(
        code="host-clock",
        title="A host's clock is off",
        severity=Severity.INFO,
        look=looks.skewed,
        depends=("host-silent",),
        remedy="let the host keep its time by NTP; nothing of Fleet depends on it",
    ),
    Kind(
        code="mirror-down",
        title="A mirror does not answer",
        severity=Severity.WARNING,
        look=looks.probed(ProbeState.DOWN),
        remedy="look at it from the host: fleet mirror test HOST",
    ),
    Kind(
        code="mirror-tls",
        title="A mirror's certificate is not trusted",
        severity=Severity.WARNING,
        look=looks.probed(ProbeState.TLS),
        remedy="on the host, put its authority at /etc/docker/certs.d/MIRROR/ca.crt, or name the file as ca in the policy",
    ),
    Kind(
        code="mirror-missing",
        title="A mirror does not have an image",
        severity=Severity.INFO,
        look=looks.probed(ProbeState.MISSING),
        remedy="is its shape right, and does it stand in for this registry? see: fleet mirror explain IMAGE",
    ),
    Kind(
        code="mirror-stale",
        title="A mirror is behind its origin",
        severity=Severity.WARNING,
        look=looks.probed(ProbeState.STALE),
        remedy="let it fetch anew, or shorten how long it keeps tags; bytes by digest are not touched by it",
    ),
    Kind(
        code="mirror-wrong-bytes",
        title="A mirror gives wrong bytes",
        severity=Severity.ERROR,
        look=looks.lying,
        remedy="leave it out of the policy until it is repaired; no wrong byte got to an engine",
    ),
    Kind(
        code="mirror-auth-failed",
        title="A mirror refuses the host's login",
        severity=Severity.WARNING,
        look=looks.probed(ProbeState.UNAUTHORIZED),
        remedy="log in to the mirror's own host with docker login, on the host",
    ),
    Kind(
        code="mirror-tls-expires",
        title="A mirror's certificate expires",
        severity=Severity.WARNING,
        look=looks.expiring,
        remedy="renew it",
    ),
    Kind(
        code="fallback-rate",
        title="Many pulls fall back",
        severity=Severity.WARNING,
        look=looks.falling_back,
        remedy="see which mirror fails: fleet mirror stats",
    ),
    Kind(
        code="rate-limit-low",
        title="A registry's rate limit is nearly used up",
        severity=Severity.WARNING,
        look=looks.limited,
        remedy="log in to the registry, check less often, or pull through a mirror",
    ),
    Kind(
        code=FAILING,
        title="A channel does not take what it is told",
        severity=Severity.WARNING,
        look=looks.deaf,
        after=timedelta(minutes=10),
        remedy="see: fleet notify ls; then: fleet notify retry NAME",
    ),
    Kind(
        code="tag-went-back",
        title="A tag went back to an older digest",
        severity=Severity.WARNING,
        look=looks.went_back,
        remedy="where it was taken back on purpose, name it under allow_back of [resolve]: fleet policy apply -f FILE",
    ),
    Kind(
        code="tag-unresolved",
        title="A tag cannot be checked",
        severity=Severity.WARNING,
        look=looks.unresolved,
        depends=("tag-went-back",),
        remedy="log in to the registry with docker login, or correct the image's name",
    ),
)
"""Every condition there is, the most urgent first."""
