"""A centre's own authority, certificates and passwords: made once, kept, renewed in time, and accepted by strict TLS."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from fleet.controller.founding import found
from fleet.errors import BadInput
from fleet.road.acl import password_hash
from fleet.road.authority import RENEW_BEFORE, SERVER_LIFE, Authority

NOW = datetime.now(UTC)
NAMES = ["fleet.lan", "127.0.0.1"]


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below *folder*."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def shakes_hands(folder: Path, server: str, name: str) -> bool:
    """Tell whether a strict client that trusts the authority takes *server*'s certificate for *name*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{server}.crt", folder / f"{server}.key")
    client = ssl.create_default_context(cafile=str(folder / "centre/ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            context.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        client.wrap_socket(ours, server_hostname=name).close()
        return True
    except ssl.SSLError:
        ours.close()
        return False
    finally:
        serving.join(60)


@pytest.mark.parametrize("server", ["centre/web", "broker/broker"])
def test_a_strict_client_takes_the_certificates(tmp_path: Path, server: str) -> None:
    """For each of the names, host or address, and for no other."""
    found(tmp_path, NAMES, NOW)
    assert [shakes_hands(tmp_path, server, name) for name in (*NAMES, "other.lan")] == [True, True, False]


def test_each_certificate_is_good_for_its_own_end_alone(tmp_path: Path) -> None:
    """The authority signs certificates and no more; a server's proves a server, and signs none."""
    found(tmp_path, NAMES, NOW)
    authority = x509.load_pem_x509_certificate((tmp_path / "centre/ca.crt").read_bytes())
    server = x509.load_pem_x509_certificate((tmp_path / "broker/broker.crt").read_bytes())
    assert uses(authority) == {"key_cert_sign", "crl_sign"}
    assert uses(server) == {"digital_signature"}
    for certificate, ca in ((authority, True), (server, False)):
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, ca, 0 if ca else None)
    extended = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]


def uses(certificate: x509.Certificate) -> set[str]:
    """Return what the key of a certificate may be used for."""
    found = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert found.critical
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    return {name for name in names.split() if getattr(found.value, name)}


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    """It may stand before every start."""
    assert found(tmp_path, NAMES, NOW)
    before = contents(tmp_path)
    assert found(tmp_path, list(reversed(NAMES)), NOW + timedelta(days=1)) == []
    assert contents(tmp_path) == before


def test_other_names_are_new_certificates_of_the_same_authority(tmp_path: Path) -> None:
    """Hosts trust the authority, so they need not be told."""
    found(tmp_path, NAMES, NOW)
    authority = (tmp_path / "authority/ca.crt").read_bytes()
    made = found(tmp_path, ["moved.lan"], NOW)
    assert sorted(made) == ["broker/broker.crt", "broker/broker.key", "centre/web.crt", "centre/web.key"]
    assert shakes_hands(tmp_path, "broker/broker", "moved.lan")
    assert (tmp_path / "authority/ca.crt").read_bytes() == authority


def test_certificates_are_renewed_before_their_end(tmp_path: Path) -> None:
    """A run in the last two months makes new ones, one before that does not."""
    found(tmp_path, NAMES, NOW)
    near = NOW + SERVER_LIFE - RENEW_BEFORE
    assert found(tmp_path, NAMES, near - timedelta(days=3)) == []
    assert "broker/broker.crt" in found(tmp_path, NAMES, near)


def test_the_brokers_file_has_the_centre_and_no_password(tmp_path: Path) -> None:
    """Redis keeps a digest; the anonymous user is off."""
    found(tmp_path, NAMES, NOW)
    password = (tmp_path / "centre/broker.password").read_text()
    users = (tmp_path / "broker/users.acl").read_text()
    assert users == f"user default off\nuser centre on #{password_hash(password)} ~* &* +@all\n"
    assert password not in users
    assert (tmp_path / "database/password").read_text() == (tmp_path / "centre/database.password").read_text()


@pytest.mark.parametrize("readable", [False, True])
def test_who_may_read(tmp_path: Path, readable: bool) -> None:
    """The owner alone, and with readable everybody but for the authority's key; its certificate is public."""
    found(tmp_path, NAMES, NOW, readable=readable)
    modes = {path: stat.S_IMODE((tmp_path / path).stat().st_mode) for path in contents(tmp_path)}
    public = {path for path, mode in modes.items() if mode == 0o644}
    assert modes["authority/ca.key"] == 0o600
    assert public == (set(modes) - {"authority/ca.key"} if readable else {p for p in modes if p.endswith("ca.crt")})


def test_a_broken_authority_is_an_error_and_nothing_is_made_over_it(tmp_path: Path) -> None:
    """Hosts trust the old one; making another unasked would lock all of them out."""
    found(tmp_path, NAMES, NOW)
    (tmp_path / "authority/ca.key").write_bytes(Authority.make(NOW).certified.key)
    with pytest.raises(BadInput, match="do not fit each other"):
        found(tmp_path, NAMES, NOW)
    (tmp_path / "authority/ca.key").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="no PEM"):
        found(tmp_path, NAMES, NOW)


def test_half_an_authority_is_refused(tmp_path: Path) -> None:
    """A lost key is told, not replaced."""
    found(tmp_path, NAMES, NOW)
    (tmp_path / "authority/ca.key").unlink()
    with pytest.raises(BadInput, match=r"cannot use .*authority"):
        found(tmp_path, NAMES, NOW)


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """The path is named."""
    (tmp_path / "authority").write_text("a file")
    with pytest.raises(BadInput, match=r"cannot use .*authority/ca"):
        found(tmp_path, NAMES, NOW)


def test_a_name_that_is_none_says_so(tmp_path: Path) -> None:
    """Certificates name hosts and addresses."""
    with pytest.raises(BadInput, match="cannot make a certificate for"):
        found(tmp_path, ["müller.lan"], NOW)


def test_keys_are_not_printed() -> None:
    """The value that carries them hides them."""
    assert "PRIVATE" not in repr(Authority.make(NOW).certified)
