"""Bring one image to the engine: through the gateway where that can be, and by the engine itself where it cannot."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

from fleet.clock import Clock, since_ms
from fleet.engine.protocol import Engine
from fleet.errors import EngineUnreachable, FleetError, Refused
from fleet.gateway.fetch import FetchFailed
from fleet.gateway.limits import Limits
from fleet.gateway.server import DEFAULT_PORT, Gateway
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.mirrors.announce import PULLED, announce
from fleet.mirrors.managed_hosts import ManagedHosts
from fleet.mirrors.sources import HostMirrors
from fleet.mirrors.table import MirrorTable
from fleet.registry.address import is_loopback
from fleet.registry.credentials import CredentialSource
from fleet.updates.command import Policy
from fleet.updates.known import KnownDigests
from fleet.updates.naming import sweep
from fleet.updates.outcome import PullOutcome, Tier
from fleet.updates.tiers import Way, find_way, own_way
from fleet.updates.watch import Watch, never
from fleet.updates.ways import Errand, by_engine, natively, through_gateway
from fleet.updates.ways import PullProgress as PullProgress

log = logging.getLogger(__name__)


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
        tell: Callable[[str], None] = lambda _: None,
        hosts: ManagedHosts | None = None,
    ) -> None:
        """Take the folder for bytes on their way and the table of digests; open nothing yet.

        *tell* hears why the engine pulls by itself, and an empty text where it does not. *hosts*: the files that may be
        written for the engine; None: none may.
        """
        self._engine, self._known, self._clock = engine, known, clock
        self._host_mirrors, self._credentials = host_mirrors, credentials
        self._spool, self._port, self._limits = state / "spool", port, limits
        self._gateway: Gateway | None = None
        self._way: Way | None = None
        self._without_gateway = ""
        self._say_why, self._hosts = tell, hosts
        self._opened = False

    def open(self) -> None:
        """Say which mirrors there are, listen, and sweep what an interrupted pull left; else the first pull does so.

        It may raise EngineUnreachable, and can then be called again.
        """
        if self._opened:
            return
        announce(self._host_mirrors())
        self._gateway = self._listening()
        if self._gateway is not None:
            sweep(self._engine, self._gateway.host)
        if self._hosts is not None:
            self._prepare(self._hosts)
        self._try()
        self._opened = True

    def pull(
        self,
        reference: Reference,
        digest: Digest,
        *,
        pull_id: UUID,
        platform: Platform | None = None,
        policy: Policy,
        progress: Callable[[PullProgress], None],
        stop: Callable[[], bool] = never,
        containers: Sequence[str] = (),
    ) -> PullOutcome:
        """Bring *digest* of *reference* to the engine under the user's name, and return what came of it.

        *platform* is the engine's own unless it is given; *containers* are the names of those that it is for, for the log.
        A failure is an outcome; EngineUnreachable alone is raised. Until the new image is whole, the old one keeps its name.
        """
        began = self._clock.monotonic()
        until = began + policy.pull_timeout_ms / 1000

        def watch(state: Callable[[], PullProgress]) -> Watch:
            return Watch(clock=self._clock, until=until, stop=stop, tell=lambda: progress(state()))

        errand = Errand(
            engine=self._engine,
            known=self._known,
            reference=reference,
            digest=digest,
            platform=platform,
            policy=policy,
            watch=watch,
        )
        reason = ""
        try:
            self._carry_out(errand, policy)
        except EngineUnreachable:
            raise
        except (FetchFailed, FleetError, OSError) as error:
            reason = str(error) if str(error).startswith("cannot") else f"cannot pull {reference.familiar}: {error}"
        outcome = PullOutcome(
            pull_id=pull_id,
            reference=str(reference.pinned(digest)),
            digest=str(digest),
            ok=not reason,
            tier=errand.tier,
            image_id="" if reason else errand.image_id,
            reason=reason or errand.remark,
            bytes=errand.bytes,
            duration_ms=since_ms(self._clock, began),
            attempts=errand.attempts,
        )
        _tell(reference, outcome, containers)
        return outcome

    def forget_strangers(self) -> None:
        """Ask every global mirror for every registry again: somebody looked at the mirrors."""
        if self._gateway is not None:
            self._gateway.forget_strangers()

    def close(self) -> None:
        """Stop listening."""
        if self._gateway is not None:
            self._gateway.close()
        self._gateway, self._way, self._opened = None, None, False

    def _carry_out(self, errand: Errand, policy: Policy) -> None:
        """Find the image, or bring it by the way that there is."""
        reference = errand.reference
        if reference.tag is None and reference.digest is not None:
            raise Refused(f"cannot pull {reference.familiar}: it has no tag by which the engine would keep the image")
        present = errand.present()
        if present is not None:
            errand.tier = Tier.PRESENT
            errand.take_over(present)
            return
        self.open()
        if self._way is None or self._way.stale(self._clock):
            self._try()
        errand.own = self._way.platform if self._way else ""
        if self._gateway is None or self._way is None or self._way.tier is Tier.DAEMON:
            by_engine(errand, self._credentials)
        else:
            self._through(self._gateway, errand, self._table(policy))

    def _through(self, gateway: Gateway, errand: Errand, table: MirrorTable) -> None:
        """Bring the image through the gateway, under its own name where that can be."""
        if self._hosts is None or self._way is None or self._way.tier is not Tier.NATIVE:
            through_gateway(errand, gateway, table)
        elif reason := self._hosts.refusal(errand.reference.registry, table):
            log.info("no hosts.toml is written", extra={"reason": reason})
            through_gateway(errand, gateway, table)
        else:
            natively(errand, gateway, table, self._hosts)

    def _try(self) -> None:
        """Find by which way this engine gets its images, and say so; it may raise EngineUnreachable."""
        # The port or the disk may have been without room when the agent began.
        self._gateway = self._listening()
        if self._gateway is not None:
            self._way = find_way(self._engine, self._gateway, self._clock, self._hosts)
        else:
            self._way = own_way(self._without_gateway, self._clock)
        self._say_why(self._way.reason)
        if self._way.reason:
            log.warning("engine pulls by itself", extra={"reason": self._way.reason})
        else:
            log.info("engine pulls through the gateway", extra={"tier": str(self._way.tier)})

    def _prepare(self, hosts: ManagedHosts) -> None:
        """Sweep what a killed agent left, and keep the gateway from being taken for any registry.

        Where that cannot be, the canary finds another way, and says so.
        """
        try:
            hosts.sweep()
            if self._gateway is not None:
                hosts.keep_loopback(self._gateway.host)
        except OSError as error:
            log.warning("cannot write hosts.toml for the gateway", extra={"reason": error.strerror})

    def _table(self, policy: Policy) -> MirrorTable:
        own = self._host_mirrors()
        return MirrorTable.of(
            policy.mirrors,
            own.rules,
            insecure=own.insecure,
            global_mirrors_for=policy.global_mirrors_for,
            speeds=policy.speeds,
        )

    def _listening(self) -> Gateway | None:
        """Return the gateway, which listens, None where the engine cannot use one."""
        if self._gateway is not None:
            return self._gateway
        if _is_remote(self._engine):
            self._without_gateway = (
                "cannot serve this engine from a gateway: it is on another machine, pulls by itself, and which mirror"
                " serves is not known; run an agent on that machine"
            )
            return None
        gateway = Gateway(
            self._spool, credentials=self._credentials, clock=self._clock, port=self._port, limits=self._limits
        )
        try:
            gateway.start()
        except OSError as error:
            self._without_gateway = f"cannot open the gateway, so that the engine pulls by itself: {error}"
            return None
        return gateway


def _is_remote(engine: Engine) -> bool:
    """Tell whether the engine is on another machine, where our loopback is not its own."""
    scheme, _, host = str(getattr(engine, "url", "")).partition("://")
    return scheme == "tcp" and not is_loopback(host)


def _tell(reference: Reference, outcome: PullOutcome, containers: Sequence[str]) -> None:
    fields = {
        "container": ", ".join(containers),
        "image": reference.familiar,
        "mirror": outcome.mirror or str(outcome.tier),
        "digest": outcome.digest,
        "bytes": outcome.bytes,
        "seconds": round(outcome.duration_ms / 1000, 1),
    }
    if not outcome.ok:
        log.error("pull failed", extra={**fields, "reason": outcome.reason})
    elif outcome.tier in (Tier.NATIVE, Tier.LOOPBACK):
        log.info(PULLED, extra=fields)
    else:
        log.info("image is there", extra=fields)
