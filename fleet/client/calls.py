"""The calls of the API, by what they are about."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from fleet.api.caps import Caps, SetCap
from fleet.api.containers import Containers, Outdated
from fleet.api.doctor import Diagnosis, Health
from fleet.api.form import Done
from fleet.api.history import LARGEST_PAGE, HistoryPage, HistoryQuery, UpdateAnswer
from fleet.api.hosts import AddHost, ChangeHost, HostAdded, HostAnswer, Hosts, RejoinHost
from fleet.api.mirrors import Explanation, Mirrors
from fleet.api.notify import (
    AddChannel,
    ChangeChannel,
    ChannelAdded,
    ChannelAnswer,
    ChannelChanged,
    Channels,
    Previews,
    Retried,
    TestAsked,
    TryTemplate,
)
from fleet.api.plans import ApplyPlan, MakePlan, Ordered, PlanAnswer, UndoContainer, UpdateHost
from fleet.api.policies import Policies, SetPolicy
from fleet.api.probes import MirrorAudit, Probes, TestMirrors
from fleet.api.questions import AuditPage, Chain, Changed, ComparedAnswer, DurationsAnswer, MirrorDays, WhoRuns
from fleet.api.receivers import AddReceiver, ReceiverAdded, Receivers
from fleet.api.rehearsals import Rehearsal, Rehearse
from fleet.api.rollouts import AnswerWave, ResumeRollout, RolloutAnswer, Rollouts, StopRollout, Undone, UndoRollout
from fleet.api.schedules import ChangeSchedule, CreateSchedule, ScheduleAnswer, ScheduleRuns, Schedules
from fleet.api.selectors import Selector
from fleet.api.stops import CreateStop, StopAnswer, Stops
from fleet.api.tokens import CreateToken, TokenCreated, Tokens
from fleet.client.exchange import TIMEOUT_S, Exchange
from fleet.client.following import QUIET_S, Followed, read_events
from fleet.errors import BadInput

P = TypeVar("P", Hosts, Containers, Outdated)

PLAN_TIMEOUT_S = 300.0
"""The most that a plan or check is waited for: every tag is resolved anew first."""


class Client(Exchange):
    """The API as Python calls."""

    # Hosts and containers

    def hosts(self, selector: Selector | None = None) -> Hosts:
        """Return the hosts that fit, all at once."""
        return self._get(Hosts, "/hosts", _selected(selector))

    def host_pages(self, selector: Selector | None = None) -> Iterator[Hosts]:
        """Yield the hosts that fit, page by page."""
        return self._pages(Hosts, "/hosts", _selected(selector))

    def host(self, name: str) -> HostAnswer:
        """Return one host, by its name or id."""
        return self._get(HostAnswer, f"/hosts/{_part(name)}")

    def add_host(self, request: AddHost) -> HostAdded:
        """Take a new host into the fleet."""
        return self._send("POST", HostAdded, "/hosts", request)

    def rejoin_host(self, name: str, request: RejoinHost) -> HostAdded:
        """Give a known host another key and password."""
        return self._send("POST", HostAdded, f"/hosts/{_part(name)}/rejoin", request)

    def change_host(self, name: str, request: ChangeHost) -> HostAnswer:
        """Rename a host or change its labels."""
        return self._send("PATCH", HostAnswer, f"/hosts/{_part(name)}", request)

    def remove_host(self, name: str) -> Done:
        """Remove a host; its history stays."""
        return self._send("DELETE", Done, f"/hosts/{_part(name)}")

    def containers(self, selector: Selector | None = None) -> Containers:
        """Return the containers that fit, all at once."""
        return self._get(Containers, "/containers", _selected(selector))

    def container_pages(self, selector: Selector | None = None) -> Iterator[Containers]:
        """Yield the containers that fit, page by page, of which some may be short or empty."""
        return self._pages(Containers, "/containers", _selected(selector))

    def outdated(self, selector: Selector | None = None, *, check: bool = False) -> Outdated:
        """Return the containers that are outdated, or of which that is unknown; *check* resolves their tags first."""
        query = [*_selected(selector), ("check", "true" if check else "false")]
        return self._get(Outdated, "/outdated", query, timeout=PLAN_TIMEOUT_S)

    def outdated_pages(self, selector: Selector | None = None, *, check: bool = False) -> Iterator[Outdated]:
        """Yield the same page by page; what is counted adds up over the pages."""
        first = [("check", "true")] if check else []
        return self._pages(Outdated, "/outdated", _selected(selector), first, timeout=PLAN_TIMEOUT_S)

    # Plans and rollouts

    def make_plan(self, request: MakePlan) -> PlanAnswer:
        """Draw a plan."""
        return self._send("POST", PlanAnswer, "/plans", request, timeout=PLAN_TIMEOUT_S)

    def plan(self, id: str) -> PlanAnswer:
        """Return a plan."""
        return self._get(PlanAnswer, f"/plans/{_part(id)}")

    def apply_plan(self, id: str, request: ApplyPlan | None = None) -> Ordered:
        """Carry a plan out."""
        return self._send("POST", Ordered, f"/plans/{_part(id)}/apply", request or ApplyPlan())

    def update(self, request: UpdateHost) -> Ordered:
        """Bring a host, or one container of it, up to date."""
        return self._send("POST", Ordered, "/updates", request, timeout=PLAN_TIMEOUT_S)

    def undo(self, request: UndoContainer) -> Ordered:
        """Bring one container back to what it ran before its latest update."""
        return self._send("POST", Ordered, "/undo", request)

    def rollouts(self, *, limit: int = 50, page: str = "") -> Rollouts:
        """Return one page of the rollouts, newest first."""
        return self._get(Rollouts, "/rollouts", [("limit", limit), *([("page", page)] if page else [])])

    def rollout(self, id: str) -> RolloutAnswer:
        """Return a rollout with its hosts and how far they are."""
        return self._get(RolloutAnswer, f"/rollouts/{_part(id)}")

    def abort_rollout(self, id: str, request: StopRollout) -> RolloutAnswer:
        """Let a rollout send nothing new."""
        return self._send("POST", RolloutAnswer, f"/rollouts/{_part(id)}/abort", request)

    def pause_rollout(self, id: str, request: StopRollout) -> RolloutAnswer:
        """Let a rollout send nothing new until it is resumed."""
        return self._send("POST", RolloutAnswer, f"/rollouts/{_part(id)}/pause", request)

    def resume_rollout(self, id: str, request: ResumeRollout | None = None) -> RolloutAnswer:
        """Take one hold away, a person's by default."""
        return self._send("POST", RolloutAnswer, f"/rollouts/{_part(id)}/resume", request)

    def approve_wave(self, id: str, request: AnswerWave) -> RolloutAnswer:
        """Approve a wave."""
        return self._send("POST", RolloutAnswer, f"/rollouts/{_part(id)}/approve", request)

    def waive_wave(self, id: str, request: AnswerWave) -> RolloutAnswer:
        """Let a rollout go on although the gate of a wave was not met."""
        return self._send("POST", RolloutAnswer, f"/rollouts/{_part(id)}/waive", request)

    def retry_wave(self, id: str, request: AnswerWave) -> RolloutAnswer:
        """Try the failed hosts of a wave again."""
        return self._send("POST", RolloutAnswer, f"/rollouts/{_part(id)}/retry", request)

    def undo_rollout(self, id: str, request: UndoRollout) -> Undone:
        """Bring back what a rollout updated, on the hosts that are named or all."""
        return self._send("POST", Undone, f"/rollouts/{_part(id)}/undo", request)

    def rehearse(self, request: Rehearse) -> Rehearsal:
        """Tell what a rollout would come to; nothing is kept."""
        return self._send("POST", Rehearsal, "/rehearsals", request, timeout=PLAN_TIMEOUT_S)

    # History

    def history(self, query: HistoryQuery) -> HistoryPage:
        """Return one page of the history."""
        return self._get(HistoryPage, "/history", list(query.model_dump(mode="json", exclude_none=True).items()))

    def history_pages(self, query: HistoryQuery) -> Iterator[HistoryPage]:
        """Yield every page from *query* on."""
        page = self.history(query)
        yield page
        while page.next_page:
            page = self.history(query.model_copy(update={"page": page.next_page}))
            yield page

    def outcome(self, id: str) -> UpdateAnswer:
        """Return one update in full, by its id or the last 8 digits of it."""
        return self._get(UpdateAnswer, f"/history/{_part(id)}")

    def who_runs(self, wanted: str) -> Iterator[WhoRuns]:
        """Yield every page of those who run a digest or an image."""
        page = ""
        while True:
            query = [("wanted", wanted), *([("page", page)] if page else [])]
            answer = self._get(WhoRuns, "/history/who-runs", query)
            yield answer
            if not answer.next_page:
                return
            page = answer.next_page

    def changes(self, host: str, since: str, until: str = "") -> Changed:
        """Return what changed on a host between two times, written as in a query."""
        return self._get(Changed, "/history/changes", _given(host=host, since=since, until=until))

    def chain(self, host: str, container: str, *, limit: int = 50, page: str = "") -> Chain:
        """Return what a container was brought to, newest first."""
        return self._get(Chain, "/history/chain", _given(host=host, container=container, limit=limit, page=page))

    def mirror_days(self, mirror: str = "", since: str = "", until: str = "") -> MirrorDays:
        """Return how the sources did, day by day."""
        return self._get(MirrorDays, "/history/mirrors", _given(mirror=mirror, since=since, until=until))

    def durations(self, query: str = "") -> DurationsAnswer:
        """Return how long the phases of the newest updates took that a query asks for."""
        return self._get(DurationsAnswer, "/history/durations", _given(q=query))

    def compared(self) -> ComparedAnswer:
        """Return how pulls through mirrors compare with pulls from the origin."""
        return self._get(ComparedAnswer, "/history/compared")

    def audit(
        self,
        *,
        who: str = "",
        subject: str = "",
        action: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        page: str = "",
    ) -> AuditPage:
        """Return one page of who did what, newest first."""
        times = {name: at.isoformat() for name, at in (("since", since), ("until", until)) if at}
        query = _given(who=who, subject=subject, action=action, limit=limit, page=page, **times)
        return self._get(AuditPage, "/audit", query)

    # Mirrors and policies

    def mirrors(self, host: str | None = None) -> Mirrors:
        """Return the mirror rules of policy and of all hosts, or of one."""
        return self._get(Mirrors, "/mirrors", [("host", host)] if host else [])

    def explain(self, image: str, host: str | None = None) -> Explanation:
        """Return the route of an image."""
        return self._get(Explanation, "/mirrors/explain", [("image", image), *([("host", host)] if host else [])])

    def test_mirrors(self, request: TestMirrors) -> Probes:
        """Let hosts look at their mirrors now, and return what they found."""
        return self._send("POST", Probes, "/mirrors/test", request, timeout=PLAN_TIMEOUT_S)

    def audit_mirrors(self) -> MirrorAudit:
        """Return what is wrong with how mirrors are configured and used."""
        return self._get(MirrorAudit, "/mirrors/audit")

    def policies(self, host: str | None = None) -> Policies:
        """Return all policy documents, and what holds for *host*."""
        return self._get(Policies, "/policies", [("host", host)] if host else [])

    def set_policy(self, request: SetPolicy) -> Policies:
        """Write one policy document."""
        return self._send("PUT", Policies, "/policies", request)

    # Schedules

    def schedules(self) -> Schedules:
        """Return all schedules."""
        return self._get(Schedules, "/schedules")

    def schedule(self, name: str) -> ScheduleAnswer:
        """Return one schedule with its next runs."""
        return self._get(ScheduleAnswer, f"/schedules/{_part(name)}")

    def create_schedule(self, request: CreateSchedule) -> ScheduleAnswer:
        """Let something be done by the clock."""
        return self._send("POST", ScheduleAnswer, "/schedules", request)

    def schedule_runs(self, name: str = "", *, limit: int = 20) -> ScheduleRuns:
        """Return the next runs of a schedule, or of all, soonest first."""
        return self._get(ScheduleRuns, "/schedule-runs", _given(schedule=name, limit=limit))

    def change_schedule(self, name: str, request: ChangeSchedule) -> ScheduleAnswer:
        """Change what is given of a schedule; also let it run, or not."""
        return self._send("PATCH", ScheduleAnswer, f"/schedules/{_part(name)}", request)

    def remove_schedule(self, name: str) -> Done:
        """Remove a schedule."""
        return self._send("DELETE", Done, f"/schedules/{_part(name)}")

    def run_schedule(self, name: str) -> ScheduleAnswer:
        """Let a schedule be due now."""
        return self._send("POST", ScheduleAnswer, f"/schedules/{_part(name)}/run")

    # Stops

    def stops(self) -> Stops:
        """Return the freezes, holds, snoozes and skips that hold."""
        return self._get(Stops, "/stops")

    def create_stop(self, request: CreateStop) -> StopAnswer:
        """Let something not be updated for now."""
        return self._send("POST", StopAnswer, "/stops", request)

    def lift_stop(self, id: str) -> StopAnswer:
        """Lift a stop."""
        return self._send("DELETE", StopAnswer, f"/stops/{_part(id)}")

    def caps(self) -> Caps:
        """Return the caps, and how many hosts of each value are away now."""
        return self._get(Caps, "/caps")

    def set_cap(self, label: str, request: SetCap) -> Caps:
        """Write the cap of a label."""
        return self._send("PUT", Caps, f"/caps/{_part(label)}", request)

    def drop_cap(self, label: str) -> Caps:
        """Take the cap of a label away."""
        return self._send("DELETE", Caps, f"/caps/{_part(label)}")

    # Notifications

    def channels(self) -> Channels:
        """Return the channels."""
        return self._get(Channels, "/channels")

    def channel(self, name: str, *, limit: int = 20) -> ChannelAnswer:
        """Return one channel with its newest deliveries."""
        return self._get(ChannelAnswer, f"/channels/{_part(name)}", [("limit", limit)])

    def add_channel(self, request: AddChannel) -> ChannelAdded:
        """Add a channel."""
        return self._send("POST", ChannelAdded, "/channels", request)

    def change_channel(self, name: str, request: ChangeChannel) -> ChannelChanged:
        """Change what is given of a channel."""
        return self._send("PATCH", ChannelChanged, f"/channels/{_part(name)}", request)

    def remove_channel(self, name: str) -> Done:
        """Remove a channel."""
        return self._send("DELETE", Done, f"/channels/{_part(name)}")

    def test_channel(self, name: str) -> TestAsked:
        """Let a test be sent to a channel."""
        return self._send("POST", TestAsked, f"/channels/{_part(name)}/test")

    def retry_channel(self, name: str) -> Retried:
        """Let what was given up wait again."""
        return self._send("POST", Retried, f"/channels/{_part(name)}/retry")

    def try_template(self, name: str, request: TryTemplate) -> Previews:
        """Return the examples as a channel would get them with other words."""
        return self._send("POST", Previews, f"/channels/{_part(name)}/preview", request)

    def preview_channel(self, name: str) -> Previews:
        """Return an example of each event that a channel gets."""
        return self._get(Previews, f"/channels/{_part(name)}/preview")

    def events(
        self,
        query: Sequence[tuple[str, Any]] = (),
        selector: Selector | None = None,
        *,
        since: datetime | None = None,
        after: str = "",
    ) -> Iterator[Followed]:
        """Yield what happens as it comes, by the parameters of the API; from *since* on, or behind the event whose id is *after*.

        Ends where the server ends it; raises Unreachable where it is cut off.
        """
        begin = [("since", since.isoformat())] if since else []
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        with self.stream("/events", [*_selected(selector), *query, *begin], headers, quiet_s=QUIET_S) as answer:
            yield from read_events(answer)

    # Receivers

    def receivers(self) -> Receivers:
        """Return the receivers, without their secrets."""
        return self._get(Receivers, "/receivers")

    def add_receiver(self, request: AddReceiver) -> ReceiverAdded:
        """Add a receiver."""
        return self._send("POST", ReceiverAdded, "/receivers", request)

    def remove_receiver(self, name: str) -> Done:
        """Remove a receiver."""
        return self._send("DELETE", Done, f"/receivers/{_part(name)}")

    # Tokens, doctor

    def tokens(self) -> Tokens:
        """Return all tokens, without their secrets."""
        return self._get(Tokens, "/tokens")

    def create_token(self, request: CreateToken) -> TokenCreated:
        """Make a token."""
        return self._send("POST", TokenCreated, "/tokens", request)

    def revoke_token(self, name: str) -> Done:
        """Take a token back."""
        return self._send("DELETE", Done, f"/tokens/{_part(name)}")

    def doctor(self, host: str = "") -> Diagnosis:
        """Return what the server found when it looked at itself and the hosts, or at one host alone."""
        return self._get(Diagnosis, "/doctor", [("host", host)] if host else [], timeout=PLAN_TIMEOUT_S)

    def health(self) -> Health:
        """Return whether the server lives."""
        return self._get(Health, "/healthz", prefix="")

    def _pages(
        self,
        kind: type[P],
        path: str,
        query: list[tuple[str, Any]],
        first: Sequence[tuple[str, Any]] = (),
        *,
        timeout: float = TIMEOUT_S,
    ) -> Iterator[P]:
        """Yield every page; *first* is asked for with the first alone. A server that knows no pages answers with everything."""
        more: list[tuple[str, Any]] = list(first)
        while True:
            answer = self._get(kind, path, [*query, ("limit", LARGEST_PAGE), *more], timeout=timeout)
            yield answer
            if not answer.next_page:
                return
            more = [("page", answer.next_page)]


def _selected(selector: Selector | None) -> list[tuple[str, Any]]:
    if selector is None:
        return []
    labels = [("label", f"{name}={value}") for name, value in selector.labels.items()]
    patterns: Mapping[str, tuple[str, ...]] = {
        "host": selector.hosts,
        "image": selector.images,
        "container": selector.containers,
    }
    return labels + [(name, value) for name, values in patterns.items() for value in values]


def _given(**query: Any) -> list[tuple[str, Any]]:
    """Return the parameters that are not empty."""
    return [(name, value) for name, value in query.items() if value != ""]


def _part(name: str) -> str:
    if not name or name in (".", "..") or "/" in name:
        raise BadInput(f"cannot use {name[:80]!r} as a name")
    return quote(name, safe="")
