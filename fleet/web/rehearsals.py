"""The route of rehearsals."""

from datetime import timedelta

from fastapi import APIRouter

from fleet.api.rehearsals import BadImage, Rehearsal, Rehearse, RehearsedCap, RehearsedEvent, RehearsedWave
from fleet.controller.rehearsing import RehearsedFleet, Rehearsing, rehearse_fleet
from fleet.rollouts.habits import Chosen
from fleet.rollouts.rehearsed import Rehearsal as Came
from fleet.rollouts.written import read_spec
from fleet.web.callers import Writer
from fleet.web.centre import ThisCentre
from fleet.web.selecting import selector_of, spec_of

router = APIRouter(prefix="/rehearsals", tags=["rollouts"])


@router.post("")
def rehearse(centre: ThisCentre, _: Writer, body: Rehearse) -> Rehearsal:
    """Tell what a rollout would come to, over a simulated fleet drawn from this fleet's history; nothing is kept."""
    asked = Rehearsing(
        selector=selector_of(body.selector),
        spec=spec_of(body.spec, body.spec_text, body.spec_name) or read_spec(""),
        seed=body.seed,
        chosen=Chosen(
            off=body.off,
            off_for=None if body.off_ms is None else timedelta(milliseconds=body.off_ms),
            slower=body.slower,
            slow_mirror=body.slow_mirror,
        ),
        bad_image=body.bad_image,
        outage_ms=body.outage_ms,
        centre_away_ms=body.centre_away_ms,
        after_ms=body.after_ms,
        approve_after_ms=body.approve_after_ms,
    )
    return _told(body.seed, rehearse_fleet(centre.db, asked))


def _told(seed: int, found: RehearsedFleet) -> Rehearsal:
    came = found.rehearsal
    return Rehearsal(
        seed=seed,
        begin=found.begin,
        state=came.state,
        ended_at=came.ended_at,
        holds=tuple(sorted(came.holds)),
        hosts=len(found.hosts),
        unknown=found.unknown,
        updates=found.updates,
        waves=tuple(RehearsedWave.model_validate(wave) for wave in came.waves),
        counts=came.counts,
        touched=came.touched,
        caps=_caps(came),
        events=tuple(RehearsedEvent(at=at, text=text) for at, text in came.events),
        bad_image=BadImage(state=found.bad.state, holds=tuple(sorted(found.bad.holds)), touched=found.bad.touched),
        warnings=found.warnings,
    )


def _caps(came: Came) -> tuple[RehearsedCap, ...]:
    return tuple(
        RehearsedCap(label=label, limit=limit, most_away=came.most_away.get(label, 0))
        for label, limit in sorted(came.limits.items())
    )
