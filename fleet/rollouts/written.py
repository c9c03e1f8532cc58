"""The spec of a rollout as people write it: durations such as ``10m``, sizes such as ``10%``, times of day."""

import re
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fleet.errors import BadInput
from fleet.rollouts.marked import Marked, read
from fleet.rollouts.selector import Selector
from fleet.rollouts.size import Size
from fleet.rollouts.spec import (
    STAGED,
    Budget,
    Count,
    FailFast,
    Gate,
    LateJoiners,
    OfflineSpec,
    OnFailure,
    Percent,
    Positive,
    RolloutSpec,
    TrySpec,
    WaveSpec,
)
from fleet.rollouts.states import FailureClass
from fleet.rollouts.windows import DAYS, HOST_ZONE, Day, Freeze, Window, zone_named
from fleet.rollouts.written_errors import POLICY_PAGE, at, told

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_DURATION = re.compile(r"(\d{1,6})([smhdw])")
_PERCENT = re.compile(r"(100|[0-9]{1,2})%")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_YEAR_MS = 366 * 86_400_000
_YEARS = range(2000, 2200)
_NEVER_FITS = "the cut-off is longer than the window, so nothing could ever begin; make the window longer"


def _duration(value: Any) -> int:
    if value == 0 and not isinstance(value, bool):
        return 0
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("give a duration such as 90s, 10m, 6h or 14d")
    return int(found[1]) * _UNITS[found[2]]


def _zone(name: str) -> str:
    if name != HOST_ZONE:
        try:
            zone_named(name)
        except BadInput:
            raise ValueError("give a time zone such as Europe/Berlin or UTC, or host") from None
    return name


def _size(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
    if whole or (isinstance(value, str) and (value == "rest" or _PERCENT.fullmatch(value))):
        return value
    raise ValueError("give a number of hosts, whole percent from 0% to 100%, or rest")


def _start(value: Any) -> Any:
    if not isinstance(value, str) or not _TIME_OF_DAY.fullmatch(value):
        raise ValueError("give a time of day from 00:00 to 23:59, such as 22:00")
    return value


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("give a time with its zone, such as 2026-12-24T00:00:00Z")
    if at.year not in _YEARS:
        raise ValueError(f"give a time from the year {_YEARS[0]} to {_YEARS[-1]}")
    return at


Duration = Annotated[int, BeforeValidator(_duration), Field(gt=0, le=_YEAR_MS)]
Wait = Annotated[int, BeforeValidator(_duration), Field(ge=0, le=_YEAR_MS)]
Amount = Annotated[Size, BeforeValidator(_size)]
Instant = Annotated[datetime, AfterValidator(_aware)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class _Wave(_Form):
    size: Amount = "rest"
    selector: Selector | None = None
    max_parallel: Positive | None = None
    approval: Annotated[bool, Field(strict=True)] = False
    soak: Wait = 0
    deadline: Duration = WaveSpec().deadline_ms or _YEAR_MS
    success_pct: Percent = Gate().success_pct
    tolerance_pct: Percent = Gate().tolerance_pct
    min_successes: Count = Gate().min_successes
    prefetch_next: Annotated[bool, Field(strict=True)] = False
    on_failure: OnFailure | None = None

    def value(self) -> WaveSpec:
        return WaveSpec(
            size=self.size,
            selector=self.selector,
            gate=Gate(success_pct=self.success_pct, tolerance_pct=self.tolerance_pct, min_successes=self.min_successes),
            max_parallel=self.max_parallel,
            approval=self.approval,
            soak_ms=self.soak,
            deadline_ms=self.deadline,
            on_failure=self.on_failure,
            prefetch_next=self.prefetch_next,
        )


class _FailFast(_Form):
    min_executed: Positive = FailFast().min_executed
    failed_pct: Annotated[int, Field(strict=True, ge=1, le=100)] = FailFast().failed_pct


class _Budget(_Form):
    max_failed_total: Amount = Budget().max_failed_total
    fail_fast: _FailFast = Field(default_factory=_FailFast)


class _Try(_Form):
    dispatch_ttl: Duration = TrySpec().dispatch_ttl_ms
    pull_timeout: Duration = TrySpec().pull_timeout_ms
    apply_timeout: Duration = TrySpec().apply_timeout_ms
    max: Positive = TrySpec().max
    backoff: Duration = TrySpec().backoff_ms
    min_healthy_time: Wait | None = None
    retry_on: tuple[FailureClass, ...] = (FailureClass.INFRASTRUCTURE, FailureClass.TIMEOUT)


class _Offline(_Form):
    policy: Annotated[str, Field(pattern=r"^(park|wait)$")] = "park"
    catch_up: Duration = OfflineSpec().catch_up_ms
    after: Annotated[int, BeforeValidator(_duration), Field(ge=60_000, le=_YEAR_MS)] | None = None


class _Window(_Form):
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    start: Annotated[str, BeforeValidator(_start)]
    duration: Annotated[int, BeforeValidator(_duration), Field(gt=0, le=7 * 86_400_000)]
    tz: Annotated[str, AfterValidator(_zone)] = "UTC"
    cutoff: Wait | None = None

    def value(self) -> Window:
        return Window(days=self.days, start=self.start, duration_ms=self.duration, zone=self.tz, cutoff_ms=self.cutoff)


class _Freeze(_Form):
    begins: Instant = Field(alias="from")
    ends: Instant = Field(alias="to")
    selector: Selector = Field(default_factory=Selector)
    reason: str = ""

    @model_validator(mode="after")
    def _ends_later(self) -> Self:
        if self.ends <= self.begins:
            raise ValueError("a freeze must end after it begins; give a later to")
        return self


class _Windows(_Form):
    windows: list[_Window] = Field(max_length=100)


class _Rate(_Form):
    per_minute: Positive = RolloutSpec().rate_per_minute


class _Spec(_Form):
    waves: Annotated[list[_Wave], Field(min_length=1, max_length=100)] | None = None
    max_parallel: Positive = RolloutSpec().max_parallel
    budget: _Budget = Field(default_factory=_Budget)
    tries: _Try = Field(default_factory=_Try, alias="try")
    offline: _Offline = Field(default_factory=_Offline)
    late_joiners: LateJoiners = LateJoiners.CONVERGE
    windows: list[_Window] = Field(default_factory=list, max_length=100)
    freezes: list[_Freeze] = Field(default_factory=list, max_length=100)
    stratify_by: tuple[str, ...] = ()
    min_release_age: Wait = 0
    on_failure: OnFailure = OnFailure.HOLD
    expires: Duration = RolloutSpec().expires_ms
    rate: _Rate = Field(default_factory=_Rate)
    quarantine_after: Positive | None = 3


def read_spec(text: str, where: str = "the rollout's spec") -> RolloutSpec:
    """Read a spec from YAML or JSON as people write it; raises BadInput with the line, the field, and what to do."""
    marked = read(text, where)
    return spec_of({} if marked.document is None else marked.document, where, marked)


def spec_of(document: Any, where: str = "the rollout's spec", marked: Marked | None = None) -> RolloutSpec:
    """Read a spec from a document in people's form, however it was parsed; raises BadInput."""
    try:
        form = _Spec.model_validate(document)
    except ValidationError as broken:
        raise BadInput(told(broken, where, marked, _FIELDS_AT)) from None
    spec = _value(form)
    check_spec(spec, where, marked)
    return spec


def read_windows(written: Any, where: str) -> tuple[Window, ...]:
    """Read windows as people write them in a policy; raises BadInput that names what cannot be used."""
    try:
        found = tuple(each.value() for each in _Windows.model_validate({"windows": written}).windows)
    except ValidationError as broken:
        raise BadInput(told(broken, where, None, _FIELDS_AT, page=POLICY_PAGE)) from None
    for number, window in enumerate(found):
        if (window.cutoff_ms or 0) > window.duration_ms:
            raise BadInput(at(where, None, ("windows", number), _NEVER_FITS))
    return found


def _value(form: _Spec) -> RolloutSpec:
    return RolloutSpec(
        waves=STAGED if form.waves is None else tuple(wave.value() for wave in form.waves),
        max_parallel=form.max_parallel,
        tries=TrySpec(
            dispatch_ttl_ms=form.tries.dispatch_ttl,
            pull_timeout_ms=form.tries.pull_timeout,
            apply_timeout_ms=form.tries.apply_timeout,
            max=form.tries.max,
            backoff_ms=form.tries.backoff,
            min_healthy_ms=form.tries.min_healthy_time,
            retry_on=form.tries.retry_on,
        ),
        budget=Budget(
            max_failed_total=form.budget.max_failed_total,
            fail_fast=FailFast(**form.budget.fail_fast.model_dump()),
        ),
        offline=OfflineSpec(
            park=form.offline.policy == "park", catch_up_ms=form.offline.catch_up, after_ms=form.offline.after
        ),
        late_joiners=form.late_joiners,
        windows=tuple(window.value() for window in form.windows),
        freezes=tuple(
            Freeze(begins_at=f.begins, ends_at=f.ends, selector=f.selector, reason=f.reason) for f in form.freezes
        ),
        stratify_by=form.stratify_by,
        min_release_age_ms=form.min_release_age,
        on_failure=form.on_failure,
        expires_ms=form.expires,
        rate_per_minute=form.rate.per_minute,
        quarantine_after=form.quarantine_after,
    )


def check_spec(spec: RolloutSpec, where: str, marked: Marked | None = None) -> None:
    """Refuse what is well-formed and makes no sense, in whatever form it came; raises BadInput."""
    last = len(spec.waves) - 1
    if spec.waves[last].size != "rest" or spec.waves[last].selector is not None:
        raise BadInput(at(where, marked, ("waves", last), "the last wave must take what is left; give it size: rest"))
    for number, wave in enumerate(spec.waves):
        if wave.size == "rest" and wave.selector is None and number < last:
            why = "hosts after this wave are none; leave out the waves after it, or give it a size"
            raise BadInput(at(where, marked, ("waves", number, "size"), why))
    for number, window in enumerate(spec.windows):
        cutoff = spec.tries.apply_timeout_ms if window.cutoff_ms is None else window.cutoff_ms
        if cutoff > window.duration_ms:
            raise BadInput(at(where, marked, ("windows", number), _NEVER_FITS))
        try:
            _zone(window.zone)
        except ValueError as error:
            raise BadInput(at(where, marked, ("windows", number, "zone"), str(error))) from None
    for number, freeze in enumerate(spec.freezes):
        try:
            for instant in (freeze.begins_at, freeze.ends_at):
                _aware(instant)
        except ValueError as error:
            raise BadInput(at(where, marked, ("freezes", number), str(error))) from None


def _names(form: type[BaseModel]) -> list[str]:
    return sorted(field.alias or name for name, field in form.model_fields.items())


_SELECTOR = sorted(each.name for each in fields(Selector))
_FIELDS_AT = {
    (): _names(_Spec),
    ("waves",): _names(_Wave),
    ("waves", "selector"): _SELECTOR,
    ("budget",): _names(_Budget),
    ("budget", "fail_fast"): _names(_FailFast),
    ("try",): _names(_Try),
    ("offline",): _names(_Offline),
    ("windows",): _names(_Window),
    ("freezes",): _names(_Freeze),
    ("freezes", "selector"): _SELECTOR,
    ("rate",): _names(_Rate),
}
