"""The agent of the machine that ``fleet up`` runs on: enrolled by itself, over the same API as any other host."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from fleet.agent import identity
from fleet.cli.joining import enrol, rejoin
from fleet.client import Client, ServerAddress
from fleet.controller import keys
from fleet.controller.supervisor import Child
from fleet.errors import NotFound, Unreachable
from fleet.road.broker import BrokerAddress
from fleet.road.join import JoinFile
from fleet.settings import places
from fleet.settings.centre import CentreSettings


class LocalAgent(Child):
    """The agent as a process that is kept running; before each start its join file is made or made right."""

    def __init__(
        self,
        settings: CentreSettings,
        broker: BrokerAddress,
        name: str,
        engine: str,
        environment: Mapping[str, str],
        joined: Callable[[], None],
    ) -> None:
        """Prepare the agent of host *name*, on the engine at *engine* (empty: the machine's own).

        *joined* is called once the centre listens and knows this machine, at the first start alone.
        """
        self._joined: Callable[[], None] | None = joined
        self._settings = settings
        self._broker = broker
        self._name = name
        self._file = places.local_join_file(settings.state_dir)
        self._state = settings.state_dir.absolute() / "agent"
        own = {"FLEET_STATE_DIR": str(self._state)}
        if engine:
            own["FLEET_ENGINE"] = engine
        command = [sys.executable, "-m", "fleet.cli.main", "agent", "--join", str(self._file)]
        super().__init__(command, environment={**environment, **own})

    def start(self) -> None:
        """See that the centre knows this machine, then start; raise Unreachable or Refused while it is not up yet."""
        try:
            with Client(ServerAddress.parse(str(self._settings.socket.absolute()))) as client:
                self.join(client)
        except Unreachable as error:
            # Its own remedy, to start a centre, is what is being done.
            raise Unreachable("cannot let this machine join yet: the web process does not listen so far") from error
        joined, self._joined = self._joined, None
        if joined is not None:
            joined()
        super().start()

    def join(self, client: Client) -> None:
        """See that there is a join file of a host that the centre has, and that its agent can be that host."""
        known = self._known(client)
        if known is None:
            enrol(client, self._name, {}, self._file)
        elif not self._file.exists() or not identity.known(self._state):
            # The file holds for one contact: without what the agent made in its place nobody is this host any more.
            rejoin(client, known, self._file)
        else:
            self._bring_up_to_date()

    def _known(self, client: Client) -> str | None:
        """Return what the centre calls this machine: the host of its join file, or of its name; None: it does not."""
        named = JoinFile.read(self._file).host_id if self._file.exists() else ""
        for each in filter(None, (named, self._name)):
            with suppress(NotFound):
                return client.host(each).host.id.hex
        return None

    def _bring_up_to_date(self) -> None:
        """Correct the join file: the state directory may have been moved, or the centre's key made anew."""
        join = JoinFile.read(self._file)
        right = replace(join.moved(self._broker), centre_keys=keys.public_keys(self._settings.state_dir))
        if right.text() != join.text():
            right.write(self._file)
