"""How a host is enrolled: key and password are made here, and the join file is written here."""

import contextlib
import secrets
from pathlib import Path

from fleet.api.hosts import AddHost, HostAdded, RejoinHost
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
    key, password = _made()
    request = build(AddHost, name=name, labels=labels, **_public(key, password))
    added = client.add_host(request)
    try:
        return added, _written(_join_file(added, key, password), path, "the host was not added")
    except FleetError:
        with contextlib.suppress(FleetError):
            client.remove_host(added.host.id.hex)
        raise


def rejoin(client: Client, name: str, path: Path | None) -> tuple[HostAdded, str]:
    """Give a known host a new key and password, and write its join file to *path*; return as ``enrol`` does.

    The old ones are void from the moment that the centre answers, whether the file can be written or not.
    """
    key, password = _made()
    added = client.rejoin_host(name, build(RejoinHost, **_public(key, password)))
    return added, _written(_join_file(added, key, password), path, "its old key is void: say it again with --out")


def _made() -> tuple[SigningKey, str]:
    return SigningKey.generate(), secrets.token_urlsafe(PASSWORD_BYTES)


def _public(key: SigningKey, password: str) -> dict[str, str]:
    """Return what the centre learns of both."""
    return {"public_key": str(key.public), "password_sha256": password_hash(password)}


def _written(file: JoinFile, path: Path | None, otherwise: str) -> str:
    """Write *file* to *path* where one is given, and return its text; raise BadInput that says what is so *otherwise*."""
    if path is not None:
        try:
            file.write(path)
        except OSError as e:
            raise BadInput(f"cannot write the join file {path}: {e.strerror}; {otherwise}") from e
    return file.text()


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
