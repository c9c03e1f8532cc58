"""The two ways by which an engine gets an image: through the gateway, and by itself."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass

from fleet.engine.protocol import Engine, EngineFacts, Inspect
from fleet.errors import EngineError, EngineUnreachable, FleetError, Refused
from fleet.gateway.server import Gateway
from fleet.gateway.session import USER, Session
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.attempt import Attempt
from fleet.mirrors.managed_hosts import Door, ManagedHosts
from fleet.mirrors.table import MirrorTable
from fleet.registry.credentials import CredentialSource
from fleet.updates.chains import chains
from fleet.updates.command import Policy
from fleet.updates.kept import keep_name
from fleet.updates.known import KnownDigests
from fleet.updates.naming import adopt, by_digest, engine_auth, give_name, take_name, would_wait
from fleet.updates.outcome import Tier
from fleet.updates.stream import EnginePull
from fleet.updates.watch import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is."""

    bytes: int
    total: int | None
    """None while nothing told."""
    source: str
    """Who gave bytes last; empty where that is not known."""


@dataclass(slots=True, kw_only=True)
class Errand:
    """One pull under way, and what is to be told of it in the end."""

    engine: Engine
    known: KnownDigests
    reference: Reference
    digest: Digest
    platform: Platform | None
    """None: the engine's own."""
    policy: Policy
    watch: Callable[[Callable[[], PullProgress]], Watch]
    """Makes the patience of this pull, given what tells how far it is."""
    own: str = ""
    """The engine's own platform as it was when its way was found; empty: it is asked."""
    tier: Tier = Tier.LOOPBACK
    image_id: str = ""
    bytes: int = 0
    attempts: tuple[Attempt, ...] = ()
    remark: str = ""
    """What is to be told of a pull that succeeded."""
    _facts: EngineFacts | None = None

    def present(self) -> Inspect | None:
        """Return the image where the engine has it already for this platform, by its own memory or by ours."""
        known = self.known.image_id(self.reference.name, self.digest)
        names = filter(None, (by_digest(self.reference, self.digest), known))
        found = (self.engine.image(name) for name in names)
        return next((image for image in found if image is not None and self._fits(image)), None)

    def facts(self) -> EngineFacts:
        """Return what the engine says of itself, asked once a pull."""
        self._facts = self._facts or self.engine.facts()
        return self._facts

    def wanted_platform(self) -> Platform:
        """Return the platform that is wanted."""
        if self.platform is not None:
            return self.platform
        facts = None if self.own else self.facts()
        return Platform.parse(f"{facts.os}/{facts.architecture}" if facts else self.own)

    def _fits(self, image: Inspect) -> bool:
        """Tell whether *image* is built for the platform: one digest of an index names an image for each of them."""
        if not image.get("Architecture"):
            return True
        built = Platform(image.get("Os") or "linux", image["Architecture"], image.get("Variant") or "")
        return self.wanted_platform().matches(built)

    def take_over(self, image: Inspect) -> None:
        """Give the image the user's name, and remember its digest."""
        self.image_id = str(image["Id"])
        keep_name(self.engine, self.reference, image, self.policy)
        give_name(self.engine, self.reference, image)
        self.known.put(self.image_id, self.reference.name, self.digest)


def through_gateway(errand: Errand, gateway: Gateway, table: MirrorTable) -> None:
    """Let the engine pull from *gateway*, which fetches by *table*; raise Refused, TimedOut, FetchFailed or EngineError."""
    session = gateway.open(errand.reference, errand.digest, table)
    name = f"{gateway.host}/{session.name}@{errand.digest}"
    try:
        with _accounted(errand, gateway, session):
            _serve(errand, gateway, session, name)
    finally:
        take_name(errand.engine, name)


def natively(errand: Errand, gateway: Gateway, table: MirrorTable, hosts: ManagedHosts) -> None:
    """Let the engine pull under the image's own name, from *gateway* by a ``hosts.toml`` of ours; raise as the other way.

    Where the gateway has to give up, the engine goes on to the mirrors and the registry by itself; what it brings then is
    not ours to tell of.
    """
    session = gateway.open(errand.reference, errand.digest, table)
    session.name = errand.reference.repository
    errand.tier = Tier.NATIVE
    door = Door(host=gateway.host, user=USER, secret=session.secret)
    with _accounted(errand, gateway, session):
        with hosts.open_door(errand.reference.registry, table, door):
            _serve(errand, gateway, session, by_digest(errand.reference, errand.digest), shown=False)
        if session.failure:
            errand.tier = Tier.DAEMON


def by_engine(errand: Errand, credentials: CredentialSource) -> None:
    """Let the engine pull by itself, from wherever it chooses; raise Refused, TimedOut or EngineError."""
    errand.tier = Tier.DAEMON
    name, facts = by_digest(errand.reference, errand.digest), errand.facts()
    auth = asyncio.run(engine_auth(errand.reference, facts, credentials))
    pull = EnginePull(errand.engine, name, auth=auth, platform=str(errand.platform or ""))
    try:
        errand.watch(pull_progress(pull)).wait(pull.ended, lambda _: pull.stop())
    finally:
        errand.bytes = pull.progress()[0]
    if pull.error is not None:
        raise pull.error
    image = errand.engine.image(name)
    if image is None:
        raise Refused(f"cannot find the image that the engine pulled as {name}")
    errand.take_over(image)


def pull_progress(pull: EnginePull) -> Callable[[], PullProgress]:
    """Return what tells how far the engine's own pull is."""

    def state() -> PullProgress:
        got, total = pull.progress()
        return PullProgress(bytes=got, total=total, source="")

    return state


@contextmanager
def _accounted(errand: Errand, gateway: Gateway, session: Session) -> Iterator[None]:
    """End the session with the pull, and take over what each source did.

    Bytes that the engine has are not kept twice; after a failure they spare the next pull. Of a pull that is to be made
    again, since the agent ends or the engine is away, no outcome tells: then the next one tells of these bytes.
    """
    stopped, told = errand.watch(lambda: _progress(session)).stop, True
    try:
        yield
    except EngineUnreachable:
        told = False
        raise
    finally:
        gateway.end(session, kept=not errand.image_id, told=told and not stopped())
        errand.attempts = session.attempts()
        errand.bytes = sum(attempt.bytes for attempt in errand.attempts)


def _serve(errand: Errand, gateway: Gateway, session: Session, name: str, *, shown: bool = True) -> None:
    """Fetch the manifests, let the engine pull the rest, prove what it has, and give it the user's name.

    *shown*: whether the engine is given the secret with the pull; else its ``hosts.toml`` has it.
    """
    engine, watch = errand.engine, errand.watch(lambda: _progress(session))
    # On its way while the engine tells of itself; what it fails by is met again below.
    gateway.submit(session.manifest(errand.digest))
    prepared = gateway.submit(session.prepare(errand.wanted_platform()))
    images = chains(engine)
    watch.wait(lambda s: bool(futures.wait([prepared], s).done), lambda reason: gateway.abort(session, reason))
    prepared.result()
    gateway.submit(session.prefetch(images))
    auth, platform = {"username": USER, "password": session.secret}, str(errand.platform or "")
    pull = EnginePull(engine, name, auth=auth if shown else None, platform=platform)

    def give_up(reason: str) -> None:
        gateway.abort(session, reason, told=not watch.stop())
        pull.stop()

    try:
        # It takes an old engine as long as all before this, and nothing needs the answer earlier.
        classic = not errand.facts().containerd_store
    except FleetError:
        pull.stop()
        raise
    watch.wait(pull.ended, give_up, doomed=lambda: session.failure)
    if pull.error is not None:
        raise _reason(pull.error, session, gateway, name, errand)
    image = engine.image(name)
    if image is None or image["Id"] not in {str(errand.digest), *session.config_digests()}:
        raise Refused(f"cannot trust the engine's image for {errand.reference.familiar}: it is not {errand.digest}")
    errand.take_over(image)
    errand.remark = session.elsewhere()
    if classic and not would_wait(engine, errand.reference, session.attempts()):
        adopt(engine, errand.reference, errand.digest, platform=platform)


def _progress(session: Session) -> PullProgress:
    got, total, source = session.progress()
    return PullProgress(bytes=got, total=total, source=source)


def _reason(error: Exception, session: Session, gateway: Gateway, name: str, errand: Errand) -> Exception:
    """Return what the engine's *error* stands for: mostly what the sources failed by; *name* is what it was asked for."""
    if isinstance(error, EngineUnreachable):
        return error
    if session.failure:
        return Refused(session.failure)
    if not isinstance(error, EngineError):
        return error
    told = str(error).replace(name, errand.reference.familiar)
    if not session.asked:
        return Refused(f"{told} (it never asked the gateway at {gateway.host}; does it run on this host's network?)")
    return EngineError(told, status=error.status)
