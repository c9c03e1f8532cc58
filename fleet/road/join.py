"""The join file: all that a host needs to find the centre and be known by it. It is as secret as the host's key."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet.errors import BadInput
from fleet.road.broker import BrokerAddress
from fleet.road.keys import PublicKey, SigningKey, read_private, write_private
from fleet.road.names import acl_user


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    v: int = Field(default=1, ge=1, le=1)
    host: UUID
    name: str
    broker: str
    login: str
    password: str
    ca: str = ""
    plaintext: bool = False
    centre_keys: tuple[dict[str, Any], ...] = Field(min_length=1)
    key: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFile:
    """What ``fleet host add`` writes, and the agent reads at every start."""

    host_id: str
    """In hex."""
    host_name: str
    """As the centre knew it when the file was written; for people."""
    broker: BrokerAddress
    """With the host's login and, for TLS, the CA."""
    plaintext: bool = False
    """Whether the network to the broker was said to be trusted."""
    centre_keys: tuple[PublicKey, ...]
    """Those that may sign orders: one, or two while the centre changes its key."""
    key: SigningKey = field(repr=False)

    @classmethod
    def make(
        cls,
        *,
        host_id: str,
        host_name: str,
        broker: BrokerAddress,
        password: str,
        centre_keys: tuple[PublicKey, ...],
        plaintext: bool = False,
    ) -> Self:
        """Return the file of a new host, with a key made here; *broker*'s own login is replaced by the host's."""
        own = broker.with_login(acl_user(host_id), password)
        key = SigningKey.generate()
        return cls(
            host_id=host_id, host_name=host_name, broker=own, plaintext=plaintext, centre_keys=centre_keys, key=key
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file; raise BadInput where it is missing, broken, unsafe, or readable by others."""
        return cls.parse(read_private(path), str(path))

    @classmethod
    def parse(cls, text: str, where: str = "the join file") -> Self:
        """Read the file's text; raise BadInput, which never quotes it."""
        try:
            form = _Form.model_validate_json(text)
        except ValidationError as e:
            fields = ", ".join(sorted({".".join(map(str, error["loc"])) or "JSON" for error in e.errors()}))
            raise BadInput(
                f"cannot read {where}: wrong or missing: {fields}; make a new one with: fleet host add"
            ) from None
        broker = BrokerAddress.parse(form.broker, ca_pem=form.ca, plaintext=form.plaintext)
        return cls(
            host_id=form.host.hex,
            host_name=form.name,
            broker=broker.with_login(form.login, form.password),
            plaintext=form.plaintext,
            centre_keys=tuple(PublicKey.parse(json.dumps(k)) for k in form.centre_keys),
            key=SigningKey.parse(json.dumps(form.key)),
        )

    def write(self, path: Path) -> None:
        """Write the file, readable by its owner alone."""
        write_private(path, self.text())

    def text(self) -> str:
        """Return the file's text, secrets and all."""
        form = _Form(
            host=UUID(self.host_id),
            name=self.host_name,
            broker=self.broker.url,
            login=self.broker.username,
            password=self.broker.password,
            ca=self.broker.ca_pem,
            plaintext=self.plaintext,
            centre_keys=tuple(json.loads(str(k)) for k in self.centre_keys),
            key=json.loads(self.key.private_text()),
        )
        return form.model_dump_json(indent=2) + "\n"

    def with_own(self, key: SigningKey, password: str) -> Self:
        """Return the same host with another key and another password at the broker."""
        return replace(self, key=key, broker=self.broker.with_login(self.broker.username, password))

    def moved(self, broker: BrokerAddress) -> Self:
        """Return the same file for another address of the broker, with the host's login."""
        return replace(self, broker=broker.with_login(self.broker.username, self.broker.password))
