"""The looks at the facts, one for each kind of condition (pure): only what can be told truthfully is found."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from fleet.controller.condition import CENTRE, Facts, Found
from fleet.controller.home_pulse import HomeState
from fleet.controller.resolving import is_low
from fleet.controller.rollout_look import waiting_rollouts
from fleet.history.inventory.logins import MUTED_FOR
from fleet.history.mirrors.probes import ProbeRow
from fleet.mirrors.probe import ProbeState
from fleet.rollouts.naming import named

SKEW = timedelta(minutes=5)
"""How far a host's clock may be off before it is told; it decides nothing, but logs would mislead."""
FLOODS_SHOWN = timedelta(days=1)
"""How long it is told that a host flooded the broker."""
STRANGERS_SHOWN = timedelta(minutes=5)
"""How long a refused login is told of after it was last tried."""
BEHIND = 10_000
"""Messages that may wait in the inbox before it counts as behind: five seconds of its work."""
TLS_SOON = timedelta(days=14)
"""How long before a mirror's certificate expires it is told: time enough to have one renewed by hand."""
FALLBACK_RATE = 0.05
"""The part of pulls that may fall back before it is told."""
FALLBACK_PULLS = 20
"""Of fewer pulls no rate is made."""


def late(facts: Facts) -> Iterable[Found]:
    """Find the planner's last tick; it is shown once that is too long ago."""
    if facts.last_tick is not None:
        text = f"the planner last ticked at {facts.last_tick:%Y-%m-%d %H:%M:%S} UTC"
        yield Found(subject=CENTRE, text=text, since=facts.last_tick)


def behind(facts: Facts) -> Iterable[Found]:
    """Find an inbox in which more waits than it reads in seconds."""
    if facts.inbox_waiting is not None and facts.inbox_waiting > BEHIND:
        yield Found(subject=CENTRE, text=f"{facts.inbox_waiting} messages of hosts wait to be read")


def silent(facts: Facts) -> Iterable[Found]:
    """Find when each host was last heard of; it is shown once that is too long ago."""
    for host in facts.hosts:
        if host.last_seen_at is not None:
            heard = host.last_seen_at
            text = f"{host.name} was last heard of at {heard:%Y-%m-%d %H:%M:%S} UTC"
            yield Found(subject=host.name, text=text, since=heard)


def never_joined(facts: Facts) -> Iterable[Found]:
    """Find the hosts that were added and never heard of."""
    for host in facts.hosts:
        if host.last_seen_at is None:
            yield Found(subject=host.name, text=f"{host.name} was never heard of", since=host.created_at)


def twins(facts: Facts) -> Iterable[Found]:
    """Find the hosts that report one engine."""
    by_engine: dict[str, list[str]] = defaultdict(list)
    for host in facts.hosts:
        if host.engine_id:
            by_engine[host.engine_id].append(host.name)
    for engine, names in by_engine.items():
        if len(names) > 1:
            together = ", ".join(sorted(names))
            yield Found(subject=together, text=f"{together} report the same engine {engine[:20]}")


def rivals(facts: Facts) -> Iterable[Found]:
    """Find the hosts for which two agents speak."""
    for host in facts.hosts:
        if host.rivals_at is not None:
            text = f"two agents speak as {host.name}; nothing is sent to it"
            yield Found(subject=host.name, text=text, since=host.rivals_at)


def flooding(facts: Facts) -> Iterable[Found]:
    """Find the hosts that sent more than the broker holds, a day long."""
    for host in facts.hosts:
        if host.muted_at is not None and host.muted_at > facts.now - FLOODS_SHOWN:
            again = host.muted_at + MUTED_FOR
            what = "it may send nothing until" if facts.now < again else "it could send nothing until"
            text = f"{host.name} sent more than the broker holds for all; {what} {again:%Y-%m-%d %H:%M:%S} UTC"
            yield Found(subject=host.name, text=text, since=host.muted_at)


def strangers(facts: Facts) -> Iterable[Found]:
    """Find the logins that are tried though they do not hold any more."""
    for host in facts.hosts:
        if host.strangers_at is not None and host.strangers_at > facts.now - STRANGERS_SHOWN:
            text = f"somebody tries to log in as {host.name} with a password that does not hold any more"
            yield Found(subject=host.name, text=text, since=host.strangers_since)


def rollbacks(facts: Facts) -> Iterable[Found]:
    """Find the failed ways back that nothing came after."""
    for row in facts.rollbacks_failed:
        text = f"{row.container} on {row.host}: {row.reason or 'the way back failed'}"
        yield Found(subject=f"{row.host}/{row.container}", text=text, since=row.recorded_at)


def problems(facts: Facts) -> Iterable[Found]:
    """Find what the hosts themselves report as wrong."""
    for host in facts.hosts:
        for problem in host.problems:
            yield Found(subject=host.name, text=f"{host.name}: {problem}")


def skewed(facts: Facts) -> Iterable[Found]:
    """Find the hosts whose clock is off."""
    for host in facts.hosts:
        if host.skew_ms is not None and abs(host.skew_ms) > SKEW.total_seconds() * 1000:
            minutes = round(abs(host.skew_ms) / 60_000)
            way = "ahead" if host.skew_ms > 0 else "behind"
            yield Found(subject=host.name, text=f"the clock of {host.name} is {minutes} minutes {way}")


def held(facts: Facts) -> Iterable[Found]:
    """Find the rollouts that wait for a person."""
    return waiting_rollouts(facts.held)


def deaf(facts: Facts) -> Iterable[Found]:
    """Find the channels that do not take what is sent to them."""
    for channel in facts.channels:
        if channel.failing_since is not None:
            state = "is sent nothing any more" if channel.stopped_at else f"{channel.waiting} events wait"
            text = f"{channel.name}: {channel.reason}; {state}"
            yield Found(
                subject=channel.name,
                text=text,
                since=channel.failing_since,
                remedy=f"mend it, then: fleet notify retry {channel.name}",
            )


def untold(facts: Facts) -> Iterable[Found]:
    """Find that Home Assistant is told nothing, or not all."""
    home = facts.home
    if home is None:
        return
    if home.silent(facts.now):
        text = f"the process mqtt was last heard of at {home.at:%Y-%m-%d %H:%M:%S} UTC"
        yield Found(subject=CENTRE, text=text, since=home.at, remedy="look at its log: fleet controller")
    elif home.state in (HomeState.AWAY, HomeState.REFUSED):
        yield Found(subject=CENTRE, text=home.reason, since=home.since)


def unresolved(facts: Facts) -> Iterable[Found]:
    """Find the tags whose digest cannot be learned."""
    for tag in facts.tags:
        if tag.reason:
            yield Found(subject=tag.image, text=f"{tag.image}: {tag.reason}", since=tag.resolved_at)


def went_back(facts: Facts) -> Iterable[Found]:
    """Find the tags that went back to an older digest, which is not followed."""
    for tag in facts.tags:
        if tag.refused_digest:
            yield Found(subject=tag.image, text=f"{tag.image}: {tag.reason}", since=tag.resolved_at)


def limited(facts: Facts) -> Iterable[Found]:
    """Find the registries that let the centre ask only a few times more."""
    for row in facts.limits:
        if row.holds(facts.now) and is_low(row.remaining, row.limit):
            text = f"{row.endpoint} lets the centre ask {row.remaining} times more, of {row.limit}; checks wait"
            yield Found(subject=row.endpoint, text=text)


def probed(*states: ProbeState) -> Callable[[Facts], Iterable[Found]]:
    """Return a look for mirrors that hosts found in one of *states*: one a mirror, however many hosts say so."""

    def look(facts: Facts) -> Iterable[Found]:
        by_mirror: dict[str, list[ProbeRow]] = defaultdict(list)
        for probe in facts.probes:
            if probe.state in states:
                by_mirror[probe.mirror].append(probe)
        for mirror, found in by_mirror.items():
            names = sorted({probe.host for probe in found})
            first = next(probe for probe in found if probe.host == names[0])
            reason, _, remedy = first.reason.partition("; ")
            text = f"{mirror}: from {named(names, 1)}: {reason}"
            yield Found(subject=mirror, text=text, remedy=_remedy(first, remedy, facts.now))

    return look


def _remedy(probe: ProbeRow, told: str, now: datetime) -> str:
    """Return what to do about what a host found at a mirror, with the names of both; empty where the kind says it."""
    if told:
        return f"on {probe.host}: {told}"
    if probe.state is ProbeState.DOWN:
        return f"look at it from the host: fleet mirror test {probe.host}"
    if probe.state is ProbeState.TLS and not _expired(probe, now):
        place = f"/etc/docker/certs.d/{address_of(probe.mirror)}/ca.crt"
        return f"on {probe.host}, put its authority at {place}, or name the file as ca in the policy"
    return (
        f"renew its certificate, which ended at {probe.tls_not_after:%Y-%m-%d %H:%M} UTC"
        if _expired(probe, now)
        else ""
    )


def _expired(probe: ProbeRow, now: datetime) -> bool:
    return probe.tls_not_after is not None and probe.tls_not_after <= now


def address_of(mirror: str) -> str:
    """Return host and port of a mirror's endpoint, as folders of ``certs.d`` and ``docker login`` name it."""
    return mirror.partition("://")[2].partition("/")[0]


def lying(facts: Facts) -> Iterable[Found]:
    """Find the sources that gave wrong bytes lately. None of them got to an engine, and their owner should know."""
    for liar in facts.liars:
        where = f"{liar.host} and other hosts" if liar.more_hosts else liar.host
        text = (
            f"{liar.mirror}: gave wrong bytes in {liar.pulls} pull{'s'[: liar.pulls != 1]} since yesterday, to {where}"
        )
        remedy = f"see how it did: fleet history mirrors {liar.mirror}; leave it out of the policy until it is repaired"
        yield Found(subject=liar.mirror, text=text, remedy=remedy)


def expiring(facts: Facts) -> Iterable[Found]:
    """Find the mirrors whose certificate ends soon."""
    ends = {
        p.mirror: p.tls_not_after
        for p in facts.probes
        if p.tls_not_after is not None and not (p.state is ProbeState.TLS and _expired(p, facts.now))
    }
    for mirror, until in ends.items():
        if until < facts.now + TLS_SOON:
            word = "expired" if until <= facts.now else "expires"
            yield Found(subject=mirror, text=f"the certificate of {mirror} {word} at {until:%Y-%m-%d %H:%M} UTC")


def falling_back(facts: Facts) -> Iterable[Found]:
    """Find, of a day's pulls, too many that a source before had failed."""
    pulls = sum(day.served for day in facts.mirror_days)
    fell = sum(day.fallbacks for day in facts.mirror_days)
    if pulls >= FALLBACK_PULLS and fell > pulls * FALLBACK_RATE:
        text = f"{fell} of {pulls} pulls since yesterday were served after a source before had failed"
        yield Found(subject=CENTRE, text=text)
