"""The values of this room: an endpoint, a mirror rule and where it came from, and one source of a route."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a source is to the reference that is pulled."""

    MIRROR = "mirror"
    """A configured stand-in for the origin."""
    ORIGIN = "origin"
    """The registry that the reference names."""


class Provenance(StrEnum):
    """Where a mirror rule was read from."""

    POLICY = "policy"
    """Fleet's own policy, which came with the signed order."""
    FLEET_FILE = "fleet-file"
    """Fleet's own file on the host (``registry-mirrors`` and ``registries``, as Watchtower's page shows them)."""
    DAEMON_FILE = "daemon-file"
    """``daemon.json`` of the host's Docker daemon."""
    DAEMON_FLAG = "daemon-flag"
    """The command line of the host's Docker daemon."""
    DAEMON = "daemon"
    """What the running daemon reports in ``GET /info``."""
    HOSTS_TOML = "hosts-toml"
    """A ``hosts.toml`` below ``certs.d``, as the containerd store of Docker 28 and later reads it."""
    REGISTRIES_CONF = "registries-conf"
    """Podman's ``registries.conf``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests go: ``{scheme}://{host}{base_path}/v2/{repo_prefix}{repository}[?ns=...]``."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    """Host and, where it is not the scheme's own, port: ``harbor.lan:5000``, ``[::1]:5000``."""
    base_path: str = ""
    """What stands before ``/v2``, as Artifactory has it; empty, or begins with a slash and does not end in one."""
    repo_prefix: str = ""
    """What stands between ``/v2/`` and the repository, as Harbor has it; empty, or ``project/``."""
    ns_query: bool = False
    """Whether ``?ns=<origin registry>`` is added, as containerd does."""
    insecure: bool = False
    """Whether the certificate of an https endpoint goes unchecked. Never implied; shown wherever it is set."""
    ca_file: str = ""
    """A PEM file of further certificate authorities, or empty."""
    client_cert: str = ""
    """A PEM file of the certificate that is shown to the endpoint, or empty."""
    client_key: str = ""
    """The PEM file of that certificate's key; empty: the key is in the certificate's own file."""
    http_fallback: bool = False
    """Whether plain http is tried where TLS fails, as podman does for what it lists as insecure."""
    auth: str = ""
    """Who to be there: the name of a login on each host, ``none``, or empty for what the host's Docker configuration has."""
    proxy: str = ""
    """By which proxy: its URL without a user, its name on each host, ``none``, or empty for the environment's."""

    def __str__(self) -> str:
        """Return the endpoint as a person writes it; it holds no credential."""
        return f"{self.scheme}://{self.host}{self.base_path}" + (
            f"/{self.repo_prefix}".rstrip("/") if self.repo_prefix else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorRule:
    """One mirror, for one registry or for all, and where that was written."""

    for_registry: str
    """A registry as references name it (``docker.io``, ``ghcr.io``), or ``*`` for a global mirror."""
    endpoint: Endpoint
    provenance: Provenance
    resolve: bool = False
    """Whether this mirror may say which digest a tag has; otherwise it serves bytes only."""
    where: str = ""
    """The file, or the policy's scope, for people: ``/etc/docker/daemon.json``, ``policy: label site=berlin``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place that a pull may come from."""

    endpoint: Endpoint
    role: Role
    rule: MirrorRule | None = None
    """The rule that made it a source; None for the origin."""

    @property
    def name(self) -> str:
        """The name by which history and logs know this source: its endpoint without credentials."""
        return str(self.endpoint)
