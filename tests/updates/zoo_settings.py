"""Shapes of the zoo that their networks, their program or their labels make."""

from tests.contracts.beds import GOOD_PROBE, STEADY
from tests.updates.zoo import SECOND_NS, Animal, host

NETWORKS: dict[str, Animal] = {
    "a static address in the second network": Animal(
        body=host(NetworkMode="back"), connect={"front": {"IPAMConfig": {"IPv4Address": "10.97.2.44"}}}
    ),
    "static addresses in two networks": Animal(
        body={
            **host(NetworkMode="back"),
            "NetworkingConfig": {"EndpointsConfig": {"back": {"IPAMConfig": {"IPv4Address": "10.97.1.40"}}}},
        },
        connect={"front": {"IPAMConfig": {"IPv4Address": "10.97.2.40"}, "Aliases": ["a", "b"]}},
    ),
    "a link-local address": Animal(
        body={
            **host(NetworkMode="back"),
            "NetworkingConfig": {"EndpointsConfig": {"back": {"IPAMConfig": {"LinkLocalIPs": ["169.254.34.68"]}}}},
        }
    ),
    "a static and a link-local address": Animal(
        body={
            **host(NetworkMode="back"),
            "NetworkingConfig": {
                "EndpointsConfig": {
                    "back": {"IPAMConfig": {"IPv4Address": "10.97.1.66", "LinkLocalIPs": ["169.254.34.70"]}}
                }
            },
        }
    ),
    "three networks": Animal(body=host(NetworkMode="front"), connect={"back": {"Aliases": ["x"]}, "bridge": {}}),
    "a MAC address and a static address": Animal(
        body={
            "MacAddress": "02:11:22:33:44:77",
            **host(NetworkMode="back"),
            "NetworkingConfig": {"EndpointsConfig": {"back": {"IPAMConfig": {"IPv4Address": "10.97.1.81"}}}},
        }
    ),
    "a priority of its gateway": Animal(
        body=host(NetworkMode="back"), connect={"front": {"GwPriority": 7}}, api="1.48"
    ),
    "links with two names": Animal(body=host(Links=["peer:db", "peer:cache"])),
    "servers of names": Animal(
        body=host(Dns=["10.0.0.53", "10.0.0.54"], DnsSearch=["lan", "acme.test"], DnsOptions=["ndots:2"])
    ),
    "hosts by hand": Animal(body=host(ExtraHosts=["a:10.1.2.3", "b:10.1.2.4", "gate:host-gateway"])),
    "all ports published": Animal(body={"ExposedPorts": {"80/tcp": {}}, **host(PublishAllPorts=True)}),
    "one port published twice": Animal(
        body=host(
            PortBindings={
                "80/tcp": [
                    {"HostIp": "127.0.0.1", "HostPort": "18180"},
                    {"HostIp": "127.0.0.1", "HostPort": "18181"},
                ]
            }
        )
    ),
    "a published port that the image exposes": Animal(
        body=host(PortBindings={"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18280"}]}),
        old={"ExposedPorts": {"8080/tcp": {}}},
    ),
    "sysctls of its network": Animal(
        body=host(NetworkMode="back", Sysctls={"net.ipv4.ip_local_port_range": "2000 3000"})
    ),
}

PROGRAMS: dict[str, Animal] = {
    "a terminal": Animal(body={"Tty": True}),
    "open to be typed into": Animal(body={"OpenStdin": True, "StdinOnce": True, "AttachStdin": True}),
    "a terminal that is typed into": Animal(body={"Tty": True, "OpenStdin": True}),
    "a long patience": Animal(body={"StopTimeout": 120, "StopSignal": "SIGTERM"}),
    "no patience": Animal(body={"StopTimeout": 0}),
    "a signal by number": Animal(body={"StopSignal": "15"}),
    "a probe by the shell": Animal(
        body={"Healthcheck": GOOD_PROBE | {"Test": ["CMD-SHELL", "true"]}}, old={"Entrypoint": None}
    ),
    "a probe switched off": Animal(
        body={"Healthcheck": {"Test": ["NONE"]}}, old={"Healthcheck": GOOD_PROBE}, new={"Healthcheck": GOOD_PROBE}
    ),
    "a probe that is quick at first": Animal(
        body={"Healthcheck": GOOD_PROBE | {"StartPeriod": 3 * SECOND_NS, "StartInterval": SECOND_NS}}, api="1.44"
    ),
    "only the interval of a probe": Animal(
        body={"Healthcheck": {"Interval": SECOND_NS}},
        old={"Healthcheck": GOOD_PROBE | {"Interval": 9 * SECOND_NS}},
        new={"Healthcheck": GOOD_PROBE | {"Interval": 8 * SECOND_NS}},
    ),
    "a user by name of number": Animal(body={"User": "65534"}, old={"User": "1"}, new={"User": "1"}),
    "root again": Animal(body={"User": "0:0"}, old={"User": "1000"}, new={"User": "1001"}),
    "a folder of its own": Animal(body={"WorkingDir": "/data"}),
    "a domain alone": Animal(body={"Domainname": "acme.test"}),
    "a full hostname": Animal(body={"Hostname": "web.acme.test"}),
    "an entrypoint and the image's command gone": Animal(
        body={"Entrypoint": list(STEADY), "Cmd": []}, old={"Entrypoint": ["sh"], "Cmd": ["-c", "true"]}
    ),
    "an entrypoint with a command of two words": Animal(
        body={"Entrypoint": ["sh"], "Cmd": ["-c", STEADY[2]]}, old={"Entrypoint": ["false"], "Cmd": ["x"]}
    ),
    "environment that says nothing": Animal(body={"Env": ["NAME", "OTHER=a=b=c", 'QUOTED="a b"']}),
    "environment as the image had it": Animal(
        body={"Env": ["LEVEL=info"]},
        old={"Env": ["PATH=/bin", "LEVEL=info"]},
        new={"Env": ["PATH=/bin", "LEVEL=info"]},
    ),
    "labels as the image had them": Animal(
        body={"Labels": {"v": "1", "mine": "1"}}, old={"Labels": {"v": "1"}}, new={"Labels": {"v": "1"}}
    ),
    "labels of many signs": Animal(body={"Labels": {"rule": "Host(`a.test`) && Path(`/x`)", "empty": "", "ü": "ö"}}),
}

_COMPOSE = {
    "com.docker.compose.project": "shop",
    "com.docker.compose.config-hash": "abc",
    "com.docker.compose.oneoff": "False",
    "com.docker.compose.container-number": "1",
}
SERVICES: dict[str, Animal] = {
    "a compose service with a volume and aliases": Animal(
        body={
            "Labels": _COMPOSE | {"com.docker.compose.service": "db"},
            **host(NetworkMode="back", Binds=["shop_db:/db:rw"], RestartPolicy={"Name": "unless-stopped"}),
            "NetworkingConfig": {"EndpointsConfig": {"back": {"Aliases": ["db", "shop-db-1"]}}},
        }
    ),
    "a compose service that lives in another": Animal(
        body={
            "Labels": _COMPOSE
            | {"com.docker.compose.service": "side", "com.docker.compose.depends_on": "peer:service_started:true"},
            **host(NetworkMode="container:peer"),
        }
    ),
    "a compose service in two networks": Animal(
        body={
            "Labels": _COMPOSE | {"com.docker.compose.service": "web", "com.docker.compose.image": "sha256:old"},
            **host(NetworkMode="back"),
            "NetworkingConfig": {"EndpointsConfig": {"back": {"Aliases": ["web"]}}},
        },
        connect={"front": {"Aliases": ["web"]}},
        differs=("Config.Labels.com.docker.compose.image",),
    ),
}

SETTING_SHAPES: dict[str, Animal] = NETWORKS | PROGRAMS | SERVICES
