"""What the routes work with: the database, the broker's address, and how registries are asked."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

from fastapi import Depends, Request

from fleet.controller.check import asking_of
from fleet.controller.heard import HeardCount
from fleet.controller.image_configs import ImageConfigs
from fleet.controller.metrics import Metrics
from fleet.controller.resolving import Asking
from fleet.errors import Refused
from fleet.history.sql.database import Database
from fleet.settings.centre import CentreSettings
from fleet.web.dry_run import as_tried, is_tried
from fleet.web.exposition import Written
from fleet.web.feed import Feed
from fleet.web.pace import Pace
from fleet.web.refusals import Refusals

LINK_BURST = 30
"""How often one link may be opened at once: previews of chats and scanners of mail open it too."""
LINK_PER_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """The centre, as the web process sees it. It holds no signing key."""

    settings: CentreSettings
    db: Database
    configs: ImageConfigs = field(default_factory=ImageConfigs)
    """What images say of how they are run, as far as plans asked for it."""
    refusals: Refusals = field(default_factory=Refusals)
    """How often what each caller was refused was written down lately."""
    pace: Pace = field(default_factory=Pace)
    """How often each receiver was spoken to lately."""
    heard: HeardCount = field(default_factory=HeardCount)
    """What came of what was said at receivers."""
    link_pace: Pace = field(default_factory=partial(Pace, burst=LINK_BURST, per_s=LINK_PER_S))
    """How often each link was, whatever opened it or did not."""
    feed: Feed = field(init=False)
    """The events, to all who follow them."""
    written: Written = field(init=False)
    """The metrics, as they were last written."""

    def __post_init__(self) -> None:
        """Prepare what hangs on the others."""
        object.__setattr__(self, "feed", Feed(self.db, self.settings.notify.source))
        object.__setattr__(self, "written", Written(Metrics(self.db, self.settings, heard=self.heard)))

    def asking(self) -> Asking:
        """Return how registries are asked, with the credentials as they stand in the file now; raise Refused in a dry run.

        On SQLite nobody else writes while one lasts, not even the inbox, with the answers that it would wait for.
        """
        if self.db.held is not None:
            raise Refused(
                "cannot ask registries in a dry run; check before it (fleet outdated --check), and leave out check"
            )
        return asking_of(self.settings.check)


def of_request(request: Request) -> Centre:
    """Return the centre that this application serves; for a dry run, one of which all is taken back."""
    centre: Centre = request.app.state.centre
    if not is_tried(request.scope):
        return centre
    if request.method != "GET":
        # First of all: on SQLite nobody else writes from then on, and that is nobody's to bring about who may not write.
        request.app.state.may_write(request, centre)
    return replace(centre, db=as_tried(centre.db, request.scope))


ThisCentre = Annotated[Centre, Depends(of_request)]
