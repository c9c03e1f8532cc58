"""Bring one image to the engine: through the gateway where that can be, and by the engine itself where it cannot."""

import asyncio
import logging
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from fleet.clock import Clock, since_ms
from fleet.engine.protocol import Engine, Inspect
from fleet.errors import EngineError, EngineUnreachable, FleetError, Refused
from fleet.gateway.fetch import FetchFailed
from fleet.gateway.limits import Limits
from fleet.gateway.server import DEFAULT_PORT, Gateway
from fleet.gateway.session import USER, Session
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.announce import PULLED, announce
from fleet.mirrors.attempt import Attempt
from fleet.mirrors.sources import HostMirrors
from fleet.mirrors.table import MirrorTable
from fleet.registry.address import is_loopback
from fleet.registry.credentials import CredentialSource
from fleet.updates.command import Policy
from fleet.updates.known import KnownDigests
from fleet.updates.naming import adopt, by_digest, engine_auth, give_name, sweep, take_name
from fleet.updates.outcome import PullOutcome, Tier
from fleet.updates.stream import EnginePull
from fleet.updates.watch import Watch, never

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is."""

    bytes: int
    total: int | None
    """None while nothing told."""
    source: str
    """Who gave bytes last; empty where that is not known."""


@dataclass(slots=True, kw_only=True)
class _Task:
    """One pull under way, and what is to be told of it."""

    reference: Reference
    digest: Digest
    policy: Policy
    watch: Callable[[Callable[[], PullProgress]], Watch]
    tier: Tier = Tier.LOOPBACK
    image_id: str = ""
    bytes: int = 0
    attempts: tuple[Attempt, ...] = field(default_factory=tuple)


class Puller:
    """Pulls for one engine, one image after the other; owns the gateway from ``open`` to ``close``."""

    def __init__(
        self,
        engine: Engine,
        *,
        state: Path,
        known: KnownDigests,
        host_mirrors: Callable[[], HostMirrors],
        credentials: CredentialSource,
        clock: Clock,
        port: int = DEFAULT_PORT,
        limits: Limits | None = None,
    ) -> None:
        """Take the folder for bytes on their way and the table of digests; open nothing yet."""
        self._engine, self._known, self._clock = engine, known, clock
        self._host_mirrors, self._credentials = host_mirrors, credentials
        self._spool, self._port, self._limits = state / "spool", port, limits
        self._gateway: Gateway | None = None
        self._opened = False

    def open(self) -> None:
        """Say which mirrors there are, listen, and sweep what an interrupted pull left; else the first pull does so."""
        if self._opened:
            return
        announce(self._host_mirrors())
        self._gateway = self._gateway or self._listening()
        if self._gateway is not None:
            sweep(self._engine, self._gateway.host)
        self._opened = True

    def pull(
        self,
        reference: Reference,
        digest: Digest,
        *,
        pull_id: UUID,
        policy: Policy,
        progress: Callable[[PullProgress], None],
        stop: Callable[[], bool] = never,
    ) -> PullOutcome:
        """Bring *digest* of *reference* to the engine under the user's name, and return what came of it.

        A failure is an outcome; EngineUnreachable alone is raised. Until the new image is whole, the old one keeps its
        name.
        """
        began = self._clock.monotonic()
        until = began + policy.pull_timeout_ms / 1000

        def watch(state: Callable[[], PullProgress]) -> Watch:
            return Watch(clock=self._clock, until=until, stop=stop, tell=lambda: progress(state()))

        task = _Task(reference=reference, digest=digest, policy=policy, watch=watch)
        reason = ""
        try:
            self._carry_out(task)
        except EngineUnreachable:
            raise
        except (FetchFailed, FleetError, OSError) as error:
            reason = str(error) if str(error).startswith("cannot") else f"cannot pull {reference.familiar}: {error}"
        outcome = PullOutcome(
            pull_id=pull_id,
            reference=str(reference.pinned(digest)),
            digest=str(digest),
            ok=not reason,
            tier=task.tier,
            image_id="" if reason else task.image_id,
            reason=reason,
            bytes=task.bytes,
            duration_ms=since_ms(self._clock, began),
            attempts=task.attempts,
        )
        _tell(reference, outcome)
        return outcome

    def close(self) -> None:
        """Stop listening."""
        if self._gateway is not None:
            self._gateway.close()
        self._gateway, self._opened = None, False

    def _carry_out(self, task: _Task) -> None:
        """Find the image, or bring it by the way that there is."""
        if task.reference.tag is None and task.reference.digest is not None:
            raise Refused(
                f"cannot pull {task.reference.familiar}: it has no tag by which the engine would keep the image"
            )
        present = self._present(task)
        if present is not None:
            task.tier = Tier.PRESENT
            self._take_over(task, present)
            return
        self.open()
        if self._gateway is None:
            self._by_engine(task)
        else:
            self._through_gateway(task, self._gateway)

    def _present(self, task: _Task) -> Inspect | None:
        """Return the image where the engine has it already, by its own memory or by ours."""
        found = self._engine.image(by_digest(task.reference, task.digest))
        known = self._known.image_id(task.reference.name, task.digest)
        return found or (self._engine.image(known) if known else None)

    def _through_gateway(self, task: _Task, gateway: Gateway) -> None:
        session = gateway.open(task.reference, task.digest, self._table(task.policy))
        name = f"{gateway.host}/{session.name}@{task.digest}"
        try:
            self._serve(task, gateway, session, name)
        finally:
            gateway.end(session)
            task.attempts = session.attempts()
            task.bytes = sum(attempt.bytes for attempt in task.attempts)
            take_name(self._engine, name)

    def _serve(self, task: _Task, gateway: Gateway, session: Session, name: str) -> None:
        """Fetch the manifests, let the engine pull the rest, prove what it has, and give it the user's name."""
        watch = task.watch(lambda: _progress(session))
        facts = self._engine.facts()
        prepared = gateway.submit(session.prepare(Platform.parse(f"{facts.os}/{facts.architecture}")))
        watch.wait(lambda s: bool(futures.wait([prepared], s).done), lambda reason: gateway.abort(session, reason))
        prepared.result()
        pull = EnginePull(self._engine, name, auth={"username": USER, "password": session.secret})

        def give_up(reason: str) -> None:
            gateway.abort(session, reason)
            pull.stop()

        watch.wait(pull.ended, give_up, doomed=lambda: session.failure)
        if pull.error is not None:
            raise _reason(pull.error, session, gateway)
        image = self._engine.image(name)
        if image is None or image["Id"] not in {str(task.digest), *session.config_digests()}:
            raise Refused(f"cannot trust the engine's image for {task.reference.familiar}: it is not {task.digest}")
        self._take_over(task, image)
        if not facts.containerd_store:
            adopt(self._engine, task.reference, task.digest)

    def _by_engine(self, task: _Task) -> None:
        """Let the engine pull by itself, from wherever it chooses."""
        task.tier = Tier.DAEMON
        name, facts = by_digest(task.reference, task.digest), self._engine.facts()
        auth = asyncio.run(engine_auth(task.reference, facts, self._credentials))
        pull = EnginePull(self._engine, name, auth=auth)
        try:
            task.watch(lambda: PullProgress(bytes=pull.progress()[0], total=pull.progress()[1], source="")).wait(
                pull.ended, lambda _: pull.stop()
            )
        finally:
            task.bytes = pull.progress()[0]
        if pull.error is not None:
            raise pull.error
        image = self._engine.image(name)
        if image is None:
            raise Refused(f"cannot find the image that the engine pulled as {name}")
        self._take_over(task, image)

    def _take_over(self, task: _Task, image: Inspect) -> None:
        """Give the image the user's name, and remember its digest."""
        task.image_id = str(image["Id"])
        give_name(self._engine, task.reference, image)
        self._known.put(task.image_id, task.reference.name, task.digest)

    def _table(self, policy: Policy) -> MirrorTable:
        own = self._host_mirrors()
        return MirrorTable.of(
            policy.mirrors, own.rules, insecure=own.insecure, global_mirrors_for=policy.global_mirrors_for
        )

    def _listening(self) -> Gateway | None:
        """Return a gateway that listens, None where the engine cannot use one."""
        if _is_remote(self._engine):
            log.warning("engine is remote, it pulls by itself and its mirrors stay unknown")
            return None
        gateway = Gateway(
            self._spool, credentials=self._credentials, clock=self._clock, port=self._port, limits=self._limits
        )
        try:
            gateway.start()
        except OSError as error:
            log.warning("gateway cannot listen, the engine pulls by itself", extra={"reason": str(error)})
            return None
        return gateway


def _progress(session: Session) -> PullProgress:
    got, total, source = session.progress()
    return PullProgress(bytes=got, total=total, source=source)


def _reason(error: Exception, session: Session, gateway: Gateway) -> Exception:
    """Return what the engine's *error* stands for: mostly what the sources failed by."""
    if isinstance(error, EngineUnreachable):
        return error
    if session.failure:
        return Refused(session.failure)
    if isinstance(error, EngineError) and not session.asked:
        return Refused(f"{error} (it never asked the gateway at {gateway.host}; does it run on this host's network?)")
    return error


def _is_remote(engine: Engine) -> bool:
    """Tell whether the engine is on another machine, where our loopback is not its own."""
    scheme, _, host = str(getattr(engine, "url", "")).partition("://")
    return scheme == "tcp" and not is_loopback(host)


def _tell(reference: Reference, outcome: PullOutcome) -> None:
    fields = {
        "image": reference.familiar,
        "mirror": outcome.mirror or str(outcome.tier),
        "digest": outcome.digest,
        "bytes": outcome.bytes,
        "seconds": round(outcome.duration_ms / 1000, 1),
    }
    if not outcome.ok:
        log.error("pull failed", extra={**fields, "reason": outcome.reason})
    elif outcome.tier is Tier.LOOPBACK:
        log.info(PULLED, extra=fields)
    else:
        log.info("image is there", extra=fields)
