"""Images of a small Debian with Python, PostgreSQL and Redis, for a lab that can pull nothing: made by debootstrap, kept in the cache."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from fleet.errors import FleetError
from tests import needs
from tests.lab.lab import Host

BASE, POSTGRES, REDIS = "lab/debian:12", "lab/postgres:15", "lab/redis:7"
PYTHON = "3.11"
"""The Python of Debian 12, for which wheels are fetched."""
_CACHE = Path(os.environ.get("FLEET_LAB_CACHE", "/var/cache/fleet-lab"))
_PACKAGES = "python3,python3-venv,ca-certificates,redis-server,postgresql-15"
_LEFT_OUT = (
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "proc/*",
    "sys/*",
)
_ENTRYPOINTS = {
    "lab-postgres": """\
#!/bin/sh
# As the official image's entrypoint, as far as the centre needs it: the same variables, and root is given up.
set -eu
user="setpriv --reuid=postgres --regid=postgres --clear-groups"
install -d -o postgres -g postgres -m 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  install -o postgres -m 600 "$POSTGRES_PASSWORD_FILE" /tmp/password
  $user initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB" | $user postgres --single -D "$PGDATA" postgres
fi
exec $user postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp
""",
    "lab-redis": """\
#!/bin/sh
# As the official image's entrypoint: the data is the user's, and root is given up.
set -eu
chown redis /data
exec setpriv --reuid=redis --regid=redis --clear-groups "$@"
""",
}
_DOCKERFILES = {
    POSTGRES: 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin\nENTRYPOINT ["lab-postgres"]\n',
    REDIS: 'RUN mkdir -p /data\nENTRYPOINT ["lab-redis"]\n',
}


def load(host: Host) -> None:
    """Put the three images into the engine of *host*."""
    host.machine.run("docker", "import", root_file_system(), BASE, timeout_s=300)
    for name, text in _DOCKERFILES.items():
        context = host.machine.folder / name.replace("/", "-").replace(":", "-")
        context.mkdir()
        for entrypoint, script in _ENTRYPOINTS.items():
            (context / entrypoint).write_text(script)
            (context / entrypoint).chmod(0o755)
        (context / "Dockerfile").write_text(f"FROM {BASE}\nCOPY lab-postgres lab-redis /usr/local/bin/\n{text}")
        build: list[str | Path] = ["docker", "build", "--quiet", "--tag", name, context]
        host.machine.run(*build, environment={"DOCKER_BUILDKIT": "0"}, timeout_s=120)


def root_file_system() -> Path:
    """Return a tar of Debian 12 with what the images need; it takes minutes to make, once."""
    made = _CACHE / "debian-12.tar"
    if made.exists():
        return made
    if shutil.which("debootstrap", path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        needs.missing("debootstrap", "apt-get install debootstrap")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE, prefix=".debian-") as folder:
        root, packed = Path(folder) / "root", Path(folder) / "debian.tar"
        include = ["--variant=minbase", f"--include={_PACKAGES}"]
        _run("debootstrap", *include, "bookworm", str(root), _mirror())
        left_out = [f"--exclude=./{pattern}" for pattern in _LEFT_OUT]
        _run("tar", "-C", str(root), *left_out, "-cf", str(packed), ".")
        packed.replace(made)
    return made


def _mirror() -> str:
    """Return where this machine's own Debian packages come from, else Debian's public address."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    found = [line.split()[0] for line in told.splitlines() if line.endswith(" bookworm")]
    return found[0] if found else "http://deb.debian.org/debian/"


def wheels(lock: Path) -> Path:
    """Return a folder with the wheels of *lock* for the Python of these images, fetched once for each lock."""
    folder = _CACHE / f"wheels-{PYTHON}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_CACHE, prefix=".wheels-") as fresh:
            _run("make", "-s", "-C", str(lock.parent), "wheels", f"IMAGE_PYTHON={PYTHON}", f"WHEELS={fresh}/wheels")
            Path(fresh, "wheels").rename(folder)
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False, timeout=1500)
    if done.returncode:
        raise FleetError(f"cannot run {command[0]}: {(done.stdout + done.stderr)[-2000:]}")


def _environment() -> dict[str, str]:
    """Return what this process was started with: tests scrub it, but what downloads needs this machine's own settings."""
    pairs = (pair.partition("=") for pair in Path("/proc/self/environ").read_text().split("\0") if pair)
    began = {name: value for name, _, value in pairs}
    return {**began, "PATH": f"{began.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"}
