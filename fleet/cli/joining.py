"""How a host is enrolled: key and password are made here, and the join file is written here."""

import contextlib
import secrets
from pathlib import Path

from fleet.api.hosts import AddHost, HostAdded
from fleet.cli.building import build
from fleet.client import Client
from fleet.errors import BadInput, FleetError
from fleet.road.acl import password_hash
from fleet.road.broker import BrokerAddress
from fleet.road.join import JoinFile
from fleet.road.keys import PublicKey, SigningKey
from fleet.road.names import acl_user

PASSWORD_BYTES = 32


def enrol(client: Client, name: str, labels: dict[str, str], path: Path | None) -> tuple[HostAdded, str]:
    """Add the host and write its join file to *path*; return the centre's answer and the file's text.

    Where the file cannot be written the host is taken away again, since nobody could ever join as it.
    """
    key, password = SigningKey.generate(), secrets.token_urlsafe(PASSWORD_BYTES)
    request = build(
        AddHost,
        name=name,
        labels=labels,
        public_key=str(key.public),
        password_sha256=password_hash(password),
    )
    added = client.add_host(request)
    try:
        file = _join_file(added, key, password)
        if path is not None:
            file.write(path)
    except (OSError, FleetError) as e:
        with contextlib.suppress(FleetError):
            client.remove_host(added.host.id.hex)
        if isinstance(e, FleetError):
            raise
        raise BadInput(f"cannot write the join file {path}: {e.strerror}; the host was not added") from e
    return added, file.text()


def _join_file(added: HostAdded, key: SigningKey, password: str) -> JoinFile:
    host_id = added.host.id.hex
    broker = BrokerAddress.parse(added.broker_url, ca_pem=added.broker_ca, plaintext=added.broker_plaintext)
    return JoinFile(
        host_id=host_id,
        host_name=added.host.name,
        broker=broker.with_login(acl_user(host_id), password),
        plaintext=added.broker_plaintext,
        centre_keys=tuple(PublicKey.parse(text) for text in added.centre_keys),
        key=key,
    )
