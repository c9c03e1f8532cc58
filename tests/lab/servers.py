"""Redis with TLS and ACLs, and PostgreSQL with passwords, each on a machine of its own."""

import os
import secrets
import shutil
from dataclasses import dataclass

from tests import needs
from tests.lab.machines import Machine, Running, eventually
from tests.lab.registries import Tls

REDIS_PORT = 6379
POSTGRESQL_PORT = 5432
CENTRE = "fleet-centre"


class Redis:
    """A Redis that takes TLS alone, and knows one login at start: the centre's."""

    def __init__(self, machine: Machine, tls: Tls) -> None:
        self.machine, self.tls = machine, tls
        self.password = secrets.token_urlsafe(16)
        self.running: Running | None = None

    @property
    def address(self) -> str:
        """Where hosts find it, without a login."""
        return f"rediss://{self.machine.address}:{REDIS_PORT}/0"

    @property
    def url(self) -> str:
        """Where the centre finds it, with its login."""
        return f"rediss://{CENTRE}:{self.password}@{self.machine.address}:{REDIS_PORT}/0"

    def start(self) -> None:
        """Start it, or start it again with nothing that was set by command: no users, and no keys unless it saved."""
        lines = [
            "port 0",
            f"tls-port {REDIS_PORT}",
            "bind 0.0.0.0",
            f"tls-cert-file {self.tls.certificate}",
            f"tls-key-file {self.tls.key}",
            f"tls-ca-cert-file {self.tls.authority}",
            "tls-auth-clients no",
            "user default off",
            f"user {CENTRE} on >{self.password} ~* &* +@all",
            f"dir {self.machine.folder}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
        ]
        file = self.machine.folder / "redis.conf"
        file.touch(mode=0o600)
        file.write_text("\n".join(lines) + "\n")
        self.running = self.machine.start("redis", needs.redis(), file)

    def ready(self) -> None:
        """Wait until it answers."""
        eventually("an answer of Redis", lambda: self.ask("PING", check=False) == "PONG", within_s=90)

    def ask(self, *command: str, check: bool = True) -> str:
        """Say one command to it, as the centre."""
        login = ["--user", CENTRE, "--pass", self.password, "--no-auth-warning"]
        where = ["-h", self.machine.address, "-p", str(REDIS_PORT), "--tls", "--cacert", str(self.tls.authority)]
        return self.machine.run("redis-cli", *where, *login, *command, check=check).stdout.strip()

    def kill(self) -> None:
        """Kill it at once."""
        assert self.running is not None
        self.running.kill()

    def restart(self) -> None:
        """Kill it, start it, and wait until it answers."""
        self.kill()
        self.start()
        self.ready()


@dataclass(slots=True, kw_only=True)
class _Account:
    uid: int
    gid: int

    @classmethod
    def of(cls, name: str) -> "_Account":
        from pwd import getpwnam

        found = getpwnam(name)
        return cls(uid=found.pw_uid, gid=found.pw_gid)


class PostgreSql:
    """A PostgreSQL with one database, ``fleet``, of the role ``fleet``."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.password = secrets.token_urlsafe(16)
        self.running: Running | None = None
        self._programs = needs.postgresql()
        self._data = machine.folder / "data"

    @property
    def url(self) -> str:
        """Where the centre finds it, with its login."""
        return f"postgresql://fleet:{self.password}@{self.machine.address}:{POSTGRESQL_PORT}/fleet"

    def start(self) -> None:
        """Start it; the first time its data is laid out."""
        account = _Account.of("postgres")
        if not self._data.exists():
            self._initialise(account)
        options = ["-c", "listen_addresses=*", "-c", f"unix_socket_directories={self._data}", "-c", "fsync=off"]
        command = [str(self._programs / "postgres"), "-D", str(self._data), *options]
        self.running = self.machine.start("postgresql", *self._as(account), *command)

    def ready(self) -> None:
        """Wait until it answers, and make the database if it is not there."""
        eventually(
            "an answer of PostgreSQL", lambda: self._sql("postgres", "select 1", check=False) == "1", within_s=90
        )
        if not self._sql("postgres", "select 1 from pg_database where datname = 'fleet'"):
            self._sql("postgres", "create database fleet")

    def ask(self, sql: str) -> str:
        """Return the rows of one statement, bare."""
        return self._sql("fleet", sql)

    def stop(self) -> None:
        """End it in order."""
        assert self.running is not None
        self.running.stop()

    def kill(self) -> None:
        """Kill the server's first process at once."""
        assert self.running is not None
        self.running.kill()

    def _initialise(self, account: _Account) -> None:
        self._data.mkdir(mode=0o700)
        os.chown(self._data, account.uid, account.gid)
        secret = self.machine.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        os.chown(secret, account.uid, account.gid)
        self.machine.run(
            *self._as(account),
            self._programs / "initdb",
            *("-D", self._data, "-U", "fleet", "--pwfile", secret, "--no-sync", "--locale=C.UTF-8", "-E", "UTF8"),
            *("--auth-host=scram-sha-256", "--auth-local=trust"),
        )
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write("host all fleet 10.0.0.0/8 scram-sha-256\n")

    def _sql(self, database: str, sql: str, *, check: bool = True) -> str:
        psql = shutil.which("psql") or self._programs / "psql"
        where = ["-h", str(self._data), "-U", "fleet", "-d", database]
        return self.machine.run(psql, *where, "-qAtX", "-c", sql, check=check).stdout.strip()

    @staticmethod
    def _as(account: _Account) -> list[str]:
        return ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--"]
