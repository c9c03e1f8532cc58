"""Where the MQTT broker is, and how to speak to it without being listened to."""

import ssl
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from fleet.errors import BadInput
from fleet.registry.address import names_loopback

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_EXPECTED = "expected mqtts://HOST or mqtt://HOST, with a port where it is another one"


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttAddress:
    """One MQTT broker, and the login there."""

    scheme: str
    """``mqtt`` or ``mqtts``."""
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    """The PEM file that vouches for it; empty: the authorities that this machine trusts."""

    @classmethod
    def parse(cls, url: str, *, user: str = "", password: str = "", ca_file: str = "", plaintext: bool = False) -> Self:
        """Read ``mqtts://HOST[:PORT]`` or ``mqtt://``; raise BadInput for what is broken or unsafe.

        Plain ``mqtt`` is taken on loopback, and elsewhere only where *plaintext* says that the network between is trusted.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as e:
            raise BadInput(f"cannot read the MQTT broker's URL; {_EXPECTED}") from e
        if parts.username is not None or parts.password is not None:
            raise BadInput("cannot take a login in the MQTT broker's URL; name the user apart, and the password's file")
        if parts.scheme not in _PORTS or not parts.hostname:
            raise BadInput(f"cannot use that as the MQTT broker's URL; {_EXPECTED}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise BadInput(f"cannot use anything behind the host in the MQTT broker's URL; {_EXPECTED}")
        if parts.scheme == "mqtt" and not plaintext and not names_loopback(parts.hostname):
            raise BadInput(
                f"cannot speak to the MQTT broker at {parts.hostname} in plaintext; use mqtts://, or say that the network is"
                " trusted (plaintext)"
            )
        if password and not user:
            raise BadInput("cannot use the MQTT broker's password without a user; name the user too")
        address = cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            user=user,
            password=password,
            ca_file=ca_file,
        )
        address.tls()  # what is wrong with the CA is said at once
        return address

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS options, the certificate and its name always checked; None for a plain connection."""
        if self.scheme != "mqtts":
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ssl.SSLError) as e:
            raise BadInput(f"cannot use the MQTT broker's CA {self.ca_file}: {e.strerror or 'it is not PEM'}") from e
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def __str__(self) -> str:
        """Return the URL without a login, for people and logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"
