"""The web process: its doors are opened safely, it waits for its database, and it ends when told to."""

import contextlib
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.api.tokens import CreateToken
from fleet.client import Client, ServerAddress
from fleet.errors import AuthNeeded, BadInput, Refused, Unreachable
from fleet.history.noted.audit import acts
from fleet.history.sql.database import Database
from fleet.settings.centre import CentreSettings, WebSettings
from fleet.testing.certificates import TestAuthority
from fleet.web.process import LONGEST_SOCKET, port_socket, tls_options, unix_socket, wait_for_database


class TestSocket:
    def test_its_owner_alone_may_use_it(self, tmp_path: Path) -> None:
        with unix_socket(tmp_path / "s"):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600

    def test_it_is_gone_at_the_end(self, tmp_path: Path) -> None:
        with unix_socket(tmp_path / "s"):
            pass
        assert not (tmp_path / "s").exists()

    def test_what_a_killed_process_left_is_replaced(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "s"))
        with unix_socket(tmp_path / "s"):
            assert (tmp_path / "s").is_socket()

    def test_a_living_one_is_left_alone(self, tmp_path: Path) -> None:
        with unix_socket(tmp_path / "s") as first:
            first.listen()
            with pytest.raises(Refused, match="another process does"), unix_socket(tmp_path / "s"):
                pass
            assert (tmp_path / "s").is_socket()

    def test_a_file_in_its_place_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "s").write_text("precious")
        with pytest.raises(BadInput, match="cannot listen at"), unix_socket(tmp_path / "s"):
            pass
        assert (tmp_path / "s").read_text() == "precious"

    def test_a_path_that_no_socket_may_have_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="too long"), unix_socket(tmp_path / ("s" * LONGEST_SOCKET)):
            pass

    def test_a_folder_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="FLEET_SOCKET"), unix_socket(tmp_path / "no" / "s"):
            pass


class TestPort:
    @pytest.mark.parametrize("listen", ["", "8443", "host", "host:port", "127.0.0.1:99999", ":-1"])
    def test_what_is_no_address_is_refused(self, listen: str) -> None:
        with pytest.raises(BadInput, match="expected HOST:PORT"):
            port_socket(listen)

    def test_a_taken_port_is_told(self) -> None:
        with contextlib.closing(port_socket("127.0.0.1:0")) as taken:
            taken.listen()
            with pytest.raises(BadInput, match="FLEET_LISTEN"):
                port_socket(f"127.0.0.1:{taken.getsockname()[1]}")

    def test_it_is_never_opened_without_tls_unasked(self) -> None:
        with pytest.raises(BadInput, match=r"without TLS.*FLEET_WEB_PLAINTEXT"):
            tls_options(WebSettings(listen="127.0.0.1:0"))
        assert tls_options(WebSettings(listen="127.0.0.1:0", plaintext=True)) == {}

    def test_a_certificate_that_is_none_is_told_at_start(self, tmp_path: Path) -> None:
        (tmp_path / "c").write_text("no certificate")
        for name in ("c", "missing"):
            with pytest.raises(BadInput, match="certificate or key"):
                tls_options(WebSettings(certificate_file=str(tmp_path / name), key_file=str(tmp_path / name)))


class TestDatabase:
    def test_one_that_is_away_is_waited_for(self, migrated: Path, tmp_path: Path) -> None:
        """The wait doubles; no start fails because the database restarts at the same time."""
        place = tmp_path / "fleet.db"
        place.mkdir()
        db = Database.open(f"sqlite:///{place}")
        waits: list[float] = []

        class Waiting:
            def sleep(self, seconds: float) -> None:
                waits.append(seconds)
                if len(waits) == 3:
                    place.rmdir()
                    place.write_bytes(migrated.read_bytes())

        wait_for_database(db, Waiting())  # type: ignore[arg-type]
        db.close()
        assert waits == [1.0, 2.0, 4.0]

    def test_one_of_another_shape_is_not(self, tmp_path: Path) -> None:
        db = Database.open(f"sqlite:///{tmp_path / 'empty.db'}")
        with pytest.raises(Refused, match="fleet db upgrade"):
            wait_for_database(db, None)  # type: ignore[arg-type]
        db.close()


@pytest.fixture
def running(tmp_path: Path, migrated: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """The real process with both doors: it, the port's URL, and the CA."""
    (tmp_path / "fleet.db").write_bytes(migrated.read_bytes())
    authority = TestAuthority()
    ca = authority.write(tmp_path / "ca.pem")
    certificate, key = authority.issue(["127.0.0.1"], tmp_path)
    with contextlib.closing(port_socket("127.0.0.1:0")) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "FLEET_STATE_DIR": str(tmp_path),
        "FLEET_BROKER_URL": "redis://127.0.0.1:1/0",
        "FLEET_LISTEN": listen,
        "FLEET_WEB_CERTIFICATE_FILE": str(certificate),
        "FLEET_WEB_KEY_FILE": str(key),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "fleet.controller.process", "web"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        _await(ServerAddress.parse(str(tmp_path / "fleet.sock")))
        yield process, f"https://{listen}", ca
    finally:
        process.kill()
        process.wait()


def test_both_doors_of_the_real_process(running: tuple[subprocess.Popen[bytes], str, Path], tmp_path: Path) -> None:
    """At the socket the kernel's word counts, at the port a token over TLS; SIGTERM ends it, and nothing is left."""
    process, url, ca = running
    with Client(ServerAddress.parse(str(tmp_path / "fleet.sock"))) as local:
        secret = local.create_token(CreateToken(name="ci")).secret
    with Client(ServerAddress.parse(url, token=secret, ca_file=ca)) as remote:
        assert remote.hosts().hosts == ()
        with pytest.raises(AuthNeeded, match="it needs admin"):
            remote.tokens()
    with Client(ServerAddress.parse(url, token="fpat_wrong", ca_file=ca)) as stranger, pytest.raises(AuthNeeded):
        stranger.hosts()
    with Client(ServerAddress.parse(url, token=secret)) as unsure, pytest.raises(Unreachable, match="certificate"):
        unsure.hosts()
    db = Database.open(CentreSettings.read(state_dir=tmp_path).database_url)
    (act,) = acts(db).items
    db.close()
    assert (act.who, act.door) == (f"person:{pwd.getpwuid(os.getuid()).pw_name}", "socket")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not (tmp_path / "fleet.sock").exists()


def _await(address: ServerAddress) -> None:
    deadline = time.monotonic() + 60
    with Client(address) as client:
        while True:
            try:
                client.health()
                return
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
