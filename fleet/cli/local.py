"""The agent of the machine that ``fleet up`` runs on: enrolled by itself, over the same API as any other host."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from fleet.cli.joining import enrol
from fleet.client import Client, ServerAddress
from fleet.controller import keys
from fleet.controller.supervisor import Child
from fleet.errors import NotFound
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
    ) -> None:
        """Prepare the agent of host *name*, on the engine at *engine* (empty: the machine's own)."""
        self._settings = settings
        self._broker = broker
        self._name = name
        self._file = places.local_join_file(settings.state_dir)
        own = {"FLEET_STATE_DIR": str(settings.state_dir.absolute() / "agent")}
        if engine:
            own["FLEET_ENGINE"] = engine
        command = [sys.executable, "-m", "fleet.cli.main", "agent", "--join", str(self._file)]
        super().__init__(command, environment={**environment, **own})

    def start(self) -> None:
        """See that the centre knows this machine, then start; raise Unreachable or Refused while it is not up yet."""
        with Client(ServerAddress.parse(str(self._settings.socket.absolute()))) as client:
            if not self._known(client):
                self._forget(client)
                enrol(client, self._name, {}, self._file)
        super().start()

    def _known(self, client: Client) -> bool:
        """Tell whether there is a join file of a host that the centre has; bring it up to date where there is."""
        if not self._file.exists():
            return False
        join = JoinFile.read(self._file)
        try:
            client.host(join.host_id)
        except NotFound:
            return False
        # The state directory may have been moved, or the centre's key made anew.
        right = replace(join.moved(self._broker), centre_keys=keys.public_keys(self._settings.state_dir))
        if right.text() != join.text():
            right.write(self._file)
        return True

    def _forget(self, client: Client) -> None:
        """Remove a host of the same name: its join file is gone, so nobody can be it again."""
        with suppress(NotFound):
            client.remove_host(client.host(self._name).host.id.hex)
