"""Shapes of the zoo whose HostConfig says something: limits, rights, namespaces, devices, mounts, logs."""

from tests.updates.zoo import DATA, Animal, host

MIB = 2**20

LIMITS: dict[str, Animal] = {
    "memory reserved": Animal(body=host(Memory=64 * MIB, MemoryReservation=32 * MIB)),
    "memory without a limit of swap": Animal(body=host(Memory=64 * MIB, MemorySwap=-1)),
    "a score for the killer of memory": Animal(body=host(Memory=64 * MIB, OomKillDisable=False, OomScoreAdj=200)),
    "shares of the processor": Animal(body=host(CpuShares=512)),
    "a quota of the processor": Animal(body=host(CpuPeriod=50000, CpuQuota=25000)),
    "bound to one processor": Animal(body=host(CpusetCpus="0")),
    "bound to a node of memory": Animal(body=host(CpusetCpus="0", CpusetMems="0")),
    "a limit of processes": Animal(body=host(PidsLimit=50)),
    "no limit of processes": Animal(body=host(PidsLimit=-1)),
    "several ulimits": Animal(
        body=host(
            Ulimits=[{"Name": "nofile", "Soft": 1024, "Hard": 2048}, {"Name": "core", "Soft": 0, "Hard": 0}],
        )
    ),
    "a weight of disk": Animal(body=host(BlkioWeight=300)),
    "a parent of control groups": Animal(body=host(CgroupParent="/zoo")),
    "much shared memory": Animal(body=host(ShmSize=128 * MIB)),
}

RIGHTS: dict[str, Animal] = {
    "privileged": Animal(body=host(Privileged=True)),
    "no capability at all": Animal(body=host(CapDrop=["ALL"])),
    "all capabilities": Animal(body=host(CapAdd=["ALL"])),
    "one capability of all": Animal(body=host(CapDrop=["ALL"], CapAdd=["NET_BIND_SERVICE"])),
    "no filter of calls": Animal(body=host(SecurityOpt=["seccomp=unconfined"])),
    "no labels of security": Animal(body=host(SecurityOpt=["label=disable"])),
    "no new privileges and no filter": Animal(body=host(SecurityOpt=["no-new-privileges:true", "seccomp=unconfined"])),
    "masked paths of its own": Animal(body=host(MaskedPaths=["/proc/kcore"], ReadonlyPaths=["/proc/bus"])),
    "no masked paths": Animal(body=host(MaskedPaths=[], ReadonlyPaths=[])),
    "further groups": Animal(body=host(GroupAdd=["27", "44"])),
    "an init of its own": Animal(body=host(Init=True)),
    "no init": Animal(body=host(Init=False)),
    "read-only with places to write": Animal(
        body=host(ReadonlyRootfs=True, Tmpfs={"/run": "rw,size=1m", "/tmp": ""}),
        old=DATA,
        new=DATA,
    ),
    "a device": Animal(
        body=host(Devices=[{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rwm"}])
    ),
    "rules for devices": Animal(body=host(DeviceCgroupRules=["c 1:3 rwm"])),
    "the runtime by name": Animal(body=host(Runtime="runc")),
    "notes for the runtime": Animal(body=host(Annotations={"org.acme.note": "a b"}), api="1.43"),
}

NAMESPACES: dict[str, Animal] = {
    "the processes of the host": Animal(body=host(PidMode="host")),
    "the memory of the host": Animal(body=host(IpcMode="host")),
    "memory to share": Animal(body=host(IpcMode="shareable")),
    "no shared memory": Animal(body=host(IpcMode="none")),
    "the names of the host": Animal(body=host(UTSMode="host")),
    "the users of the host": Animal(body=host(UsernsMode="host")),
    "the control groups of the host": Animal(body=host(CgroupnsMode="host")),
    "control groups of its own": Animal(body=host(CgroupnsMode="private")),
    "the processes of another": Animal(body=host(PidMode="container:peer")),
    "the network and processes of another": Animal(
        body=host(NetworkMode="container:peer", PidMode="container:peer"), old=DATA, new=DATA
    ),
    "the network of another, restarted always": Animal(
        body=host(NetworkMode="container:peer", RestartPolicy={"Name": "unless-stopped"})
    ),
}

STORES: dict[str, Animal] = {
    "tmpfs with options": Animal(
        body=host(
            Mounts=[{"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": MIB, "Mode": 0o1770}}],
        )
    ),
    "a bind by mount": Animal(
        body=host(
            Mounts=[
                {
                    "Type": "bind",
                    "Source": "/etc",
                    "Target": "/mnt/etc",
                    "ReadOnly": True,
                    "BindOptions": {"Propagation": "rprivate"},
                }
            ],
        )
    ),
    "a bind that is shared with slaves": Animal(body=host(Binds=["/etc:/mnt/etc:ro,rslave"])),
    "a volume with labels": Animal(
        body=host(
            Mounts=[
                {
                    "Type": "volume",
                    "Source": "labelled",
                    "Target": "/labelled",
                    "VolumeOptions": {"NoCopy": True, "Labels": {"team": "web"}},
                }
            ],
        )
    ),
    "a nameless volume without a copy": Animal(
        body=host(
            Mounts=[{"Type": "volume", "Target": "/data", "VolumeOptions": {"NoCopy": True}}],
        ),
        old=DATA,
        new=DATA,
    ),
    "a named volume in the place of the image's": Animal(body=host(Binds=["kept:/data"]), old=DATA, new=DATA),
    "a volume without a copy by bind": Animal(body=host(Binds=["kept:/data:nocopy"]), old=DATA, new=DATA),
    "several nameless volumes": Animal(
        body={"Volumes": {"/a": {}, "/b": {}}}, old={"Volumes": {"/c": {}}}, new={"Volumes": {"/c": {}}}
    ),
    "a volume in a volume": Animal(body={**host(Binds=["outer:/outer"]), "Volumes": {"/outer/inner": {}}}),
    "the volumes of another and its own": Animal(
        body={**host(VolumesFrom=["peer"], Binds=["own:/own"]), "Volumes": {"/mine": {}}}
    ),
    "removed when it stops, with a named volume": Animal(
        body=host(AutoRemove=True, Binds=["kept:/kept"]), old=DATA, new=DATA
    ),
}

LOGS: dict[str, Animal] = {
    "no log": Animal(body=host(LogConfig={"Type": "none", "Config": {}})),
    "a local log": Animal(body=host(LogConfig={"Type": "local", "Config": {"max-size": "2m", "max-file": "2"}})),
    "a rotated log": Animal(
        body=host(LogConfig={"Type": "json-file", "Config": {"max-file": "3", "max-size": "1m", "labels": "team"}})
    ),
    "a log that never blocks": Animal(
        body=host(LogConfig={"Type": "json-file", "Config": {"mode": "non-blocking", "max-buffer-size": "1m"}})
    ),
    "unless stopped": Animal(body=host(RestartPolicy={"Name": "unless-stopped"})),
    "on failure for ever": Animal(body=host(RestartPolicy={"Name": "on-failure"})),
}

HOST_SHAPES: dict[str, Animal] = LIMITS | RIGHTS | NAMESPACES | STORES | LOGS
