"""Shapes of containers that must come through a recreate as they were."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.contracts.beds import GOOD_PROBE

SECOND_NS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Animal:
    """One container: its create body, what stands around it, and what its images say."""

    body: Mapping[str, Any] = field(default_factory=dict)
    connect: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Networks that it is connected to after create, as ``docker network connect`` does."""
    old: Mapping[str, Any] = field(default_factory=dict)
    """Config of the old image."""
    new: Mapping[str, Any] = field(default_factory=dict)
    """Config of the new image."""
    differs: tuple[str, ...] = ()
    """The paths that differ afterwards, because the images do."""
    api: str = "1.41"
    """The first version of the engine API that knows all this."""


def host(**fields: Any) -> dict[str, Any]:
    """Return a create body with that HostConfig."""
    return {"HostConfig": fields}


DATA: Mapping[str, Any] = {"Volumes": {"/data": {}}}
ZOO: dict[str, Animal] = {
    "plain": Animal(),
    "environment and labels": Animal(
        body={"Env": ["MODE=prod", "EMPTY=", "LEVEL=debug"], "Labels": {"team": "web", "fleet.note": "a b"}},
        old={"Env": ["PATH=/bin", "LEVEL=info", "VERSION=1"], "Labels": {"v": "1", "gone": "soon"}},
        new={"Env": ["PATH=/bin", "LEVEL=warn", "VERSION=2"], "Labels": {"v": "2"}},
        differs=("Config.Env.VERSION", "Config.Labels.v", "Config.Labels.gone"),
    ),
    "ports": Animal(
        body={
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            **host(
                PortBindings={
                    "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18081"}],
                    "53/udp": [{"HostIp": "", "HostPort": "18053"}],
                    "81/tcp": [{"HostIp": "", "HostPort": ""}],
                }
            ),
        },
        old={"ExposedPorts": {"80/tcp": {}, "8080/tcp": {}}},
        new={"ExposedPorts": {"9090/tcp": {}}},
        differs=("Config.ExposedPorts.8080/tcp", "Config.ExposedPorts.9090/tcp"),
    ),
    "volumes": Animal(
        body={
            **host(
                Binds=["named:/named", "/etc/hostname:/mnt/hostname:ro", "shared:/shared:ro"],
                Mounts=[
                    {"Type": "volume", "Target": "/nameless"},
                    {"Type": "volume", "Source": "third", "Target": "/third", "ReadOnly": True},
                    {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1048576}},
                ],
            ),
            "Volumes": {"/own": {}},
        },
        old=DATA,
        new=DATA,
    ),
    "an anonymous volume that the new image knows no more": Animal(old=DATA),
    "a static address with aliases": Animal(
        body={
            **host(NetworkMode="back"),
            "NetworkingConfig": {
                "EndpointsConfig": {
                    "back": {"IPAMConfig": {"IPv4Address": "10.97.1.77"}, "Aliases": ["db", "database"]}
                }
            },
        }
    ),
    "two networks": Animal(
        body={
            **host(NetworkMode="back"),
            "NetworkingConfig": {"EndpointsConfig": {"back": {"Aliases": ["api"]}}},
        },
        connect={"front": {"Aliases": ["www"], "IPAMConfig": {"IPv4Address": "10.97.2.9"}}},
    ),
    "the default network and one more": Animal(connect={"front": {"Aliases": ["www"]}}),
    "the default network by name and one more": Animal(body=host(NetworkMode="bridge"), connect={"front": {}}),
    "two networks, a MAC address in the second": Animal(
        body=host(NetworkMode="front"),
        connect={"back": {"MacAddress": "02:11:22:33:44:66", "Aliases": ["api"]}},
    ),
    "a chosen MAC address": Animal(body={"MacAddress": "02:11:22:33:44:55", **host(NetworkMode="back")}),
    "always restarted": Animal(body=host(RestartPolicy={"Name": "always"})),
    "restarted on failure": Animal(body=host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 3})),
    "a probe of its own": Animal(
        body={"Healthcheck": GOOD_PROBE | {"StartPeriod": 5 * SECOND_NS}},
        old={
            "Healthcheck": GOOD_PROBE
            | {"Test": ["CMD", "echo"], "Interval": 9 * SECOND_NS, "Timeout": 9 * SECOND_NS, "Retries": 9}
        },
    ),
    "a probe of the image, which changes": Animal(
        old={"Healthcheck": GOOD_PROBE | {"Retries": 7}},
        new={"Healthcheck": GOOD_PROBE},
        differs=("Config.Healthcheck.Retries",),
    ),
    "user, folder, hostname": Animal(
        body={"User": "1000:1000", "WorkingDir": "/tmp", "Hostname": "web01", "Domainname": "lan", "StopTimeout": 3},
        old={"User": "1", "WorkingDir": "/work"},
        new={"User": "2", "WorkingDir": "/data"},
    ),
    "an entrypoint of its own": Animal(
        body={"Entrypoint": ["sh", "-c"], "Cmd": ["while :; do sleep 1; done"], "StopSignal": "SIGKILL"},
        old={"Entrypoint": ["sh"], "Cmd": ["-c", "sleep 9"]},
    ),
    "a command of its own": Animal(
        body={"Cmd": ["-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"]},
        old={"Entrypoint": ["sh"], "Cmd": ["-c", "false"]},
        new={"Entrypoint": ["sh"], "Cmd": ["-c", "true"]},
    ),
    "an entrypoint taken away": Animal(
        body={"Entrypoint": [""], "Cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"]},
        old={"Entrypoint": ["false"]},
        new={"Entrypoint": ["false"]},
    ),
    "limits and rights": Animal(
        body=host(
            CapAdd=["NET_ADMIN"],
            CapDrop=["MKNOD"],
            Ulimits=[{"Name": "nofile", "Soft": 2048, "Hard": 4096}],
            Tmpfs={"/run": "size=1m"},
            ShmSize=33554432,
            Memory=67108864,
            MemorySwap=134217728,
            NanoCpus=500000000,
            PidsLimit=100,
            ReadonlyRootfs=True,
            Init=True,
            Sysctls={"net.ipv4.ip_forward": "1"},
            ExtraHosts=["mirror:10.1.2.3"],
            Dns=["10.0.0.53"],
            GroupAdd=["5"],
            LogConfig={"Type": "json-file", "Config": {"max-size": "1m"}},
            OomScoreAdj=100,
            SecurityOpt=["no-new-privileges"],
        )
    ),
    "removed when it stops": Animal(body=host(AutoRemove=True), old=DATA, new=DATA),
    "a link": Animal(body=host(Links=["peer:db"])),
    "the network of another": Animal(body=host(NetworkMode="container:peer")),
    "the network of the host": Animal(body=host(NetworkMode="host")),
    "no network": Animal(body=host(NetworkMode="none")),
    "the volumes of another": Animal(body=host(VolumesFrom=["peer:ro"])),
    "a compose service": Animal(
        body={
            "Labels": {
                "com.docker.compose.project": "shop",
                "com.docker.compose.service": "web",
                "com.docker.compose.config-hash": "abc",
                "com.docker.compose.image": "sha256:old",
            },
            **host(NetworkMode="back"),
        },
        differs=("Config.Labels.com.docker.compose.image",),
    ),
}
