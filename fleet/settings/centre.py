"""The settings of the centre's processes: web, planner, inbox, notifier, mqtt, beat, and the supervisor over them."""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from fleet.errors import BadInput
from fleet.mqtt.address import MqttAddress
from fleet.road.broker import BrokerAddress
from fleet.rollouts.selector import Selector
from fleet.settings import places, sources

Seconds = Annotated[float, Field(gt=0, le=30 * 86400)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseSettings(_Group):
    """Where the history stands."""

    url: SecretStr = SecretStr("")
    """``sqlite:////path`` or ``postgresql://...``; empty: SQLite in the state directory, so that one machine needs no
    server."""
    password: SecretStr = SecretStr("")
    """Put into the URL, so that the URL may stand in a file that others read, and the password in a secret's file."""


class BrokerSettings(_Group):
    """Where orders and answers wait."""

    url: SecretStr = SecretStr("")
    """``rediss://user@host:6379/0``, ``redis://`` or ``unix:///path``; no default, since a wrong broker loses orders
    silently."""
    password: SecretStr = SecretStr("")
    """Put into the URL, for the same reason as the database's."""
    ca_file: str = ""
    """The PEM file that vouches for the broker; needed by ``rediss://``, and written into join files."""
    plaintext: bool = False
    """Whether ``redis://`` may leave this machine: only where the network between is trusted."""
    public_url: str = ""
    """How hosts reach the broker, for join files; empty: as the centre does. Behind compose or NAT they differ."""


class WebSettings(_Group):
    """Where the API answers."""

    listen: str = Field(default="", json_schema_extra={"env": "FLEET_LISTEN"})
    """``host:port`` for HTTPS; empty: no port, only the socket, so that nothing is open that nobody asked for."""
    socket: str = Field(default="", json_schema_extra={"env": "FLEET_SOCKET"})
    """The unix socket, mode 0600; empty: ``fleet.sock`` in the state directory."""
    certificate_file: str = ""
    """The PEM certificate (with its chain) of the port."""
    key_file: str = ""
    """The certificate's key."""
    plaintext: bool = False
    """Whether the port may speak HTTP without TLS: only behind a proxy that adds it."""
    public_url: str = ""
    """How people reach the port, ``https://host[:port]``, for links in messages; empty: no message holds any."""

    @field_validator("public_url")
    @classmethod
    def _is_public(cls, url: str) -> str:
        plain = urlsplit(url)
        if url and (
            plain.scheme != "https" or not plain.netloc or plain.username or plain.path.strip("/") or plain.query
        ):
            raise ValueError("it is no address such as https://fleet.example.lan:8443")
        return url.rstrip("/")


class CheckSettings(_Group):
    """How the centre learns what tags resolve to."""

    interval_s: Seconds = 6 * 3600.0
    """Seconds between two looks at one tag: often enough for people, rare enough for Docker Hub's limits."""
    every_s: Seconds = 60.0
    """Seconds between two beats that look for tags whose time has come: how long a new container waits for its check."""
    parallel: Annotated[int, Field(gt=0, le=256)] = 8
    """Requests at once to one registry: enough to hide their round trips, too few to look like an attack. To all, eight times as many."""
    insecure: tuple[str, ...] = ()
    """Registries (``host:port`` or networks) that are asked without TLS checks, as Docker's insecure-registries."""
    docker_config: str = ""
    """The folder of Docker's ``config.json`` with the centre's own credentials; empty: where the docker command looks."""


class PlannerSettings(_Group):
    """How often the planner looks, and what it looks at."""

    tick_s: Seconds = 2.0
    """Seconds between two ticks: what a person notices as at once."""
    batch: Annotated[int, Field(gt=0, le=10_000)] = 500
    """Messages that one tick signs before it sends them: one round trip to the broker."""
    look_s: Seconds = 300.0
    """How often the log is told which conditions began or ended: they build up over minutes, and looking reads all hosts."""
    reconcile_s: Seconds = 60.0
    """Seconds between two comparisons of the broker's users with the hosts: a broker restarted without them is
    whole again after at most that."""
    prune_s: Seconds = 3600.0
    """Seconds between two removals of what is too old, and of partitions made ahead."""


class InboxSettings(_Group):
    """How the inbox reads what hosts wrote."""

    batch: Annotated[int, Field(gt=0, le=5000)] = 500
    """Messages a transaction: the measured best of 2,300 outcomes a second."""
    idle_s: Seconds = 0.2
    """Seconds between two looks at an empty list: an order waits for four answers, so this is its latency."""
    retry_s: Seconds = 30.0
    """The longest wait for a broker or database that is away; it begins at one second and doubles."""
    cap_bytes: Annotated[int, Field(ge=1024 * 1024)] = 256 * 1024 * 1024
    """Memory that all unread messages of hosts may take in the broker before the largest sender is shut out: ten thousand
    hosts send a tenth of it while the centre is away for an hour."""


class NotifySettings(_Group):
    """How people are told."""

    every_s: Seconds = 2.0
    """Seconds between two looks for events that are to be told."""
    look_s: Seconds = 60.0
    """Seconds between two looks at the conditions, where there is a channel: looking reads all hosts."""
    links_last_s: Seconds = 86400.0
    """How long a link that answers can be used from when it was first sent: over a night, and not for ever, since messages are kept
    and forwarded."""
    source: str = Field(default="urn:fleet:centre", min_length=1, max_length=500)
    """What events say of where they come from, a URI: whoever hears of several centres tells them apart by it."""


class MqttSettings(_Group):
    """How Home Assistant is told of the fleet, over MQTT."""

    url: str = ""
    """``mqtts://host`` or ``mqtt://host`` of an MQTT broker that speaks MQTT 5, without a login; empty: nobody is told."""
    user: str = ""
    """The login there; empty: none."""
    password: SecretStr = SecretStr("")
    """Its password."""
    ca_file: str = ""
    """The PEM file that vouches for the MQTT broker; empty: the authorities that this machine trusts."""
    plaintext: bool = False
    """Whether ``mqtt://`` may leave this machine: only where the network between is trusted."""
    topic: str = Field(default="fleet", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
    """Below this topic all is written but the descriptions of entities; of several installations each needs one of its own."""
    discovery: str = Field(default="homeassistant", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+){0,4}$")
    """The topic below which Home Assistant looks for what there is, as it is set there."""
    hosts: tuple[str, ...] = ()
    """The hosts that are told of, by name, with ``*`` and ``?``; empty: all."""
    labels: tuple[str, ...] = ()
    """Labels of the hosts that are told of, each ``name=value``; all must match."""
    images: tuple[str, ...] = ()
    """The images whose containers are told of, as after ``--image``; empty: all."""
    containers: tuple[str, ...] = ()
    """The containers that are told of, by name, with ``*`` and ``?``; empty: all."""
    install_hosts: tuple[str, ...] = ()
    """The hosts on which Home Assistant may order updates, by name, with ``*`` and ``?``; where this and the next are empty: none."""
    install_labels: tuple[str, ...] = ()
    """Labels of the hosts on which it may, each ``name=value``; all must match."""
    every_s: Seconds = 5.0
    """Seconds between two looks for what changed."""

    @field_validator("labels", "install_labels")
    @classmethod
    def _are_labels(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        for each in labels:
            if not each.partition("=")[0] or "=" not in each:
                raise ValueError(f"{each[:60]!r} is no label; expected name=value")
        return labels

    def address(self) -> MqttAddress:
        """Return where the MQTT broker is; raise BadInput where that is missing or unsafe."""
        if not self.url:
            raise BadInput("cannot tell Home Assistant anything without an MQTT broker; set FLEET_MQTT_URL")
        password = self.password.get_secret_value()
        more = {"user": self.user, "password": password, "ca_file": self.ca_file}
        return MqttAddress.parse(self.url, **more, plaintext=self.plaintext)

    def told(self) -> Selector:
        """Return what is told of."""
        return Selector(hosts=self.hosts, labels=_labels(self.labels), images=self.images, containers=self.containers)

    def may_install(self) -> Selector | None:
        """Return on which hosts Home Assistant may order updates; None: on none."""
        if not self.install_hosts and not self.install_labels:
            return None
        return Selector(hosts=self.install_hosts, labels=_labels(self.install_labels))


def _labels(given: tuple[str, ...]) -> dict[str, str]:
    return dict(each.split("=", 1) for each in given)


class MetricsSettings(_Group):
    """What ``/metrics`` shows, and to whom."""

    networks: tuple[str, ...] = ()
    """Addresses and networks from which it is read without a token, as the server sees them: behind a proxy that is the
    proxy's; empty: nobody, since it names hosts, mirrors and versions."""
    per_host: bool = True
    """Whether each host has series of its own: four to a dozen a host, which Prometheus keeps."""
    keep_s: Seconds = 15.0
    """How long what was found is kept: no longer than most ask, so that several who ask cost no more than one. What grows with
    the fleet is kept for fifty times as long as it took, ten minutes at most."""

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for each in networks:
            try:
                ip_network(each, strict=False)
            except ValueError:
                raise ValueError(f"{each[:60]!r} is no address or network, such as 10.0.0.0/8") from None
        return networks


class LogSettings(_Group):
    """What the processes say about themselves."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least that is told."""
    format: Literal["auto", "console", "json"] = "auto"
    """``auto``: for people on a terminal, JSON lines elsewhere."""


class CentreSettings(sources.ProcessSettings):
    """Every setting of the centre, by subject."""

    other_tables: ClassVar[tuple[str, ...]] = ("agent", "client", "contexts")

    state_dir: Path = Field(default_factory=places.state_dir)
    """Keys, and for one machine also the database and the broker; must survive restarts."""
    database: DatabaseSettings = DatabaseSettings()
    broker: BrokerSettings = BrokerSettings()
    web: WebSettings = WebSettings()
    check: CheckSettings = CheckSettings()
    planner: PlannerSettings = PlannerSettings()
    inbox: InboxSettings = InboxSettings()
    notify: NotifySettings = NotifySettings()
    mqtt: MqttSettings = MqttSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def read(cls, **given: object) -> Self:
        """Return the settings of this process, *given* first; raise BadInput that names what cannot be used."""
        return sources.read(cls, given)

    @property
    def database_url(self) -> str:
        """The database's URL with its password; a secret."""
        url = self.database.url.get_secret_value()
        if not url:
            return f"sqlite:///{(self.state_dir / 'fleet.db').absolute()}"
        return _with_password(url, self.database.password.get_secret_value())

    @property
    def socket(self) -> Path:
        """The unix socket of the API."""
        return Path(self.web.socket) if self.web.socket else places.socket(self.state_dir)

    def broker_address(self) -> BrokerAddress:
        """Return the broker with the centre's own login; raise BadInput where it is missing or unsafe."""
        url = self.broker.url.get_secret_value()
        if not url:
            raise BadInput("cannot go on without a broker; set FLEET_BROKER_URL, or use fleet up, which brings one")
        return self._address(_with_password(url, self.broker.password.get_secret_value()))

    def public_broker(self) -> BrokerAddress:
        """Return the broker as hosts reach it, without a login; raise BadInput as ``broker_address`` does."""
        address = self._address(self.broker.public_url) if self.broker.public_url else self.broker_address()
        return address.with_login("", "")

    def prepare_state(self) -> None:
        """Make the state directory, for its owner alone; raise BadInput where that is impossible."""
        try:
            self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as e:
            raise BadInput(
                f"cannot make the state directory {self.state_dir}: {e.strerror}; set FLEET_STATE_DIR"
            ) from e
        if not os.access(self.state_dir, os.W_OK | os.X_OK):
            raise BadInput(f"cannot write into the state directory {self.state_dir}; set FLEET_STATE_DIR")

    def _address(self, url: str) -> BrokerAddress:
        return BrokerAddress.parse(url, self.broker.ca_file, plaintext=self.broker.plaintext)


def _with_password(url: str, password: str) -> str:
    if not password:
        return url
    parts = urlsplit(url)
    login, at, server = parts.netloc.rpartition("@")
    user = login.partition(":")[0] if at else ""
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{server}"))
