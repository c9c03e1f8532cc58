"""Policy documents: what people write of how hosts update, merged and read into the policy that orders carry."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet.errors import BadInput
from fleet.images.reference import DOCKER_HUB, Reference
from fleet.mirrors.policy import GLOBAL, parse_mirrors
from fleet.mirrors.source import Provenance
from fleet.mirrors.table import Strategy
from fleet.rollouts.selection import Selection
from fleet.rollouts.trust import read_resolve
from fleet.rollouts.windows import Window
from fleet.rollouts.written import read_windows
from fleet.rollouts.written_errors import POLICY_PAGE, told
from fleet.updates.command import GlobalMirrorsFor, LooseFiles, Policy, UpdateOrder, VerifyPolicy

_DAY_MS = 24 * 3_600_000


class _Verify(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    settle_ms: int = Field(default=VerifyPolicy().settle_ms, ge=0, le=_DAY_MS)
    deadline_ms: int = Field(default=VerifyPolicy().deadline_ms, gt=0, le=_DAY_MS)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mirrors: list[dict[str, Any]] = Field(default_factory=list, max_length=100)
    global_mirrors_for: GlobalMirrorsFor = GlobalMirrorsFor.ALL
    strategy: Strategy = Strategy.ORDER
    verify: _Verify = Field(default_factory=_Verify)
    remove_old_image: bool = Field(default=False, strict=True)
    keep_images: int = Field(default=1, ge=0, le=100, strict=True)
    loose_files: LooseFiles = LooseFiles.WARN
    order: UpdateOrder = UpdateOrder.STOP_FIRST
    hooks: bool = Field(default=False, strict=True)
    select: dict[str, Any] = Field(default_factory=dict)
    resolve: dict[str, Any] = Field(default_factory=dict)
    windows: list[Any] = Field(default_factory=list)


_FIELDS_AT = {(): sorted(_Form.model_fields), ("verify",): sorted(_Verify.model_fields)}


def merged(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one document of several: what a later one sets, it sets in place of the earlier ones.

    A list (``mirrors``) is replaced whole, since its order means something; the keys of a table are set one by one.
    """
    whole: dict[str, Any] = {}
    for document in documents:
        for key, value in document.items():
            before = whole.get(key)
            deeper = isinstance(before, Mapping) and isinstance(value, Mapping)
            whole[key] = merged((before or {}, value)) if deeper else value
    return whole


def read_policy(document: Mapping[str, Any], where: str) -> Policy:
    """Return the policy that *document*, written at *where*, means; raises BadInput that names what cannot be used."""
    try:
        form = _Form.model_validate(document)
    except ValidationError as broken:
        raise BadInput(told(broken, where, None, _FIELDS_AT, page=POLICY_PAGE)) from None
    Selection.parse(form.select, where)
    read_resolve({"resolve": form.resolve}, where)
    windows_of(document, where)
    return Policy(
        mirrors=parse_mirrors(form.mirrors, provenance=Provenance.POLICY, where=where),
        global_mirrors_for=form.global_mirrors_for,
        speeds={} if form.strategy is Strategy.FASTEST else None,
        verify=VerifyPolicy(settle_ms=form.verify.settle_ms, deadline_ms=form.verify.deadline_ms),
        remove_old_image=form.remove_old_image,
        keep_images=form.keep_images,
        loose_files=form.loose_files,
        order=form.order,
        hooks=form.hooks,
    )


def check_policy(document: Mapping[str, Any], where: str) -> None:
    """Raise BadInput for what cannot be read, and for mirrors that could be read and would never be asked.

    For what is written: what was written before and is read on, does no harm.
    """
    for number, rule in enumerate(read_policy(document, where).mirrors, start=1):
        registry = rule.for_registry
        if registry != GLOBAL and Reference.parse(f"{registry}/name").registry != registry:
            raise BadInput(
                f"cannot use {registry!r} as for in mirror {number} of {where}: no reference names such a registry; expected"
                f" a host such as ghcr.io, {DOCKER_HUB} for Docker Hub, or {GLOBAL}"
            )


def selection_of(document: Mapping[str, Any], where: str = "the policy") -> Selection:
    """Return which containers *document* lets be updated; raises BadInput. It stays at the centre: orders name containers."""
    return Selection.parse(document.get("select", {}), where)


def windows_of(document: Mapping[str, Any], where: str = "the policy") -> tuple[Window, ...]:
    """Return in which windows *document* lets containers be recreated, none: at any time; raises BadInput.

    They stay at the centre, which says when a host may go.
    """
    return read_windows(document.get("windows", []), where)


def with_speeds(policy: Policy, measured: Mapping[str, int]) -> Policy:
    """Return *policy* with what a host *measured* of its mirrors, where that decides who is asked first."""
    return policy if policy.speeds is None else replace(policy, speeds=dict(measured))


def with_times(
    policy: Policy, *, pull_timeout_ms: int, apply_timeout_ms: int, min_healthy_ms: int | None = None
) -> Policy:
    """Return *policy* with the times that a rollout gives each try."""
    timed = replace(policy, pull_timeout_ms=pull_timeout_ms, apply_timeout_ms=apply_timeout_ms)
    if min_healthy_ms is None:
        return timed
    return replace(timed, verify=replace(policy.verify, settle_ms=min_healthy_ms))
