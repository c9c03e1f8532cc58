"""The application: every route of the API, and every page, over one centre."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.routing import APIRoute

from fleet.api.doctor import Health
from fleet.api.paths import PREFIX
from fleet.history.sql.database import Database
from fleet.settings.centre import CentreSettings
from fleet.web import (
    answers,
    audit,
    caps,
    containers,
    doctor,
    events,
    history,
    hooks,
    hosts,
    metrics,
    mirrors,
    notify,
    plans,
    policies,
    probes,
    questions,
    receivers,
    rehearsals,
    rollouts,
    schedules,
    stops,
    tokens,
)
from fleet.web.callers import may_write
from fleet.web.centre import Centre, ThisCentre
from fleet.web.doors import LARGEST_REQUEST
from fleet.web.dry_run import DryRuns
from fleet.web.pages import fleet as fleet_pages
from fleet.web.pages import history as history_pages
from fleet.web.pages import hosts as host_pages
from fleet.web.pages import links as link_pages
from fleet.web.pages import mirrors as mirror_pages
from fleet.web.pages import notify as notify_pages
from fleet.web.pages import receivers as receiver_pages
from fleet.web.pages import visitors

# The questions stand before the history: `/history/{id}` would take their paths.
ROOMS = (
    hosts,
    containers,
    plans,
    rollouts,
    rehearsals,
    questions,
    history,
    audit,
    mirrors,
    probes,
    policies,
    schedules,
    stops,
    caps,
    notify,
    events,
    receivers,
    tokens,
    doctor,
)

PAGES = (visitors, fleet_pages, host_pages, history_pages, mirror_pages, notify_pages, receiver_pages, link_pages)

DESCRIPTION = """Fleet keeps the containers of many plain Docker hosts up to date.

Every answer names its schema; a field may be added within `v1`, never removed. Failures are problem details (RFC 9457)
whose `code` is of a closed set. Below `/api/v1/dry-run` an order is answered as it would be, and taken back. At the
machine's own unix socket everything is allowed; elsewhere a bearer token's scope says what is."""


def create_app(settings: CentreSettings, db: Database | None = None) -> FastAPI:
    """Return the application. It must be put behind a door: a request that came through none has no rights."""
    app = FastAPI(
        title="Fleet",
        version=version("fleet-updater"),
        description=DESCRIPTION,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # it would lead to whatever host the request names
        generate_unique_id_function=_name,
        responses=answers.PROBLEMS,
        max_body_size=LARGEST_REQUEST,
    )
    app.state.centre = Centre(settings=settings, db=db or Database.open(settings.database_url))
    app.state.may_write = may_write
    app.add_middleware(DryRuns)
    answers.install(app)
    app.add_api_route("/healthz", healthz, tags=["doctor"])
    for room in ROOMS:
        app.include_router(room.router, prefix=PREFIX)
    app.include_router(metrics.router)
    app.include_router(hooks.router)
    for pages in PAGES:
        app.include_router(pages.router)
    answers.describe(app)
    return app


def healthz(centre: ThisCentre) -> Health:
    """Say that the server lives and can read its database; needs no token."""
    centre.db.now()
    return Health(version=version("fleet-updater"))


def _name(route: APIRoute) -> str:
    return route.name
