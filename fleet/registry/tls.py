"""Whom a TLS connection trusts: the system's authorities, Docker's ``certs.d``, and a file named for one address."""

import contextlib
import os
import ssl
from collections.abc import Iterable, Sequence
from pathlib import Path

from fleet.errors import BadInput
from fleet.registry.stamps import Stamp, stamp

DOCKER_CERTS = (Path("/etc/docker/certs.d"), Path("~/.config/docker/certs.d"))
"""Where Docker, and Docker without root, reads authorities, client certificates and ``hosts.toml`` by registry."""
_SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Tried where this Python was built with other paths than the system's."""


_DOCKERS = (".crt", ".cert", ".key")
"""What of ``certs.d`` is read."""


def client_context(
    host: str,
    *,
    ca_file: str = "",
    client: tuple[str, str] | None = None,
    insecure: bool = False,
    certs: Sequence[Path] = DOCKER_CERTS,
) -> ssl.SSLContext:
    """Return the TLS context for *host* (with its port, as ``certs.d`` names it).

    *client* is the certificate that is shown, and the file of its key (empty: in the certificate's own file).
    The system's authorities are those of OpenSSL, so that ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace them.
    Raise BadInput for a file that holds no usable certificate.
    """
    if insecure:
        return _showing(unchecked(), client)
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        _load(context, (bundle for bundle in _SYSTEM_BUNDLES if Path(bundle).is_file()))
    _load(context, [ca_file] if ca_file else [])
    for folder in certs:
        for name in folder_names(host):
            _load_docker(context, expanded(folder) / name)
    return _showing(context, client)


def stamps_of(
    host: str, *, ca_file: str = "", client: tuple[str, str] | None = None, certs: Sequence[Path] = DOCKER_CERTS
) -> tuple[Stamp, ...]:
    """Return the stamps of the files that ``client_context`` reads for *host*, but for the system's authorities."""
    files = [ca_file, *(client or ())]
    for folder in certs:
        for name in folder_names(host):
            with contextlib.suppress(OSError), os.scandir(expanded(folder) / name) as found:
                files += sorted(each.path for each in found if each.name.endswith(_DOCKERS))
    stamps = (stamp(Path(file)) for file in files if file)
    return tuple(filter(None, stamps))


def expanded(path: Path) -> Path:
    """Return *path* with ``~`` as this user's home; for a user who has none, a place that is not there."""
    try:
        return path.expanduser()
    except RuntimeError:
        return Path("/nonexistent", *path.parts[1:])


def folder_names(host: str) -> tuple[str, ...]:
    """Return the folders below ``certs.d`` that are about *host*: containerd's spelling of a port, then Docker's."""
    name, colon, port = host.rpartition(":")
    return (f"{name}_{port}_", host) if colon and port.isdigit() else (host,)


def unchecked() -> ssl.SSLContext:
    """Return a context that takes any certificate, as Docker's for an insecure registry, which reads no certs.d."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _load_docker(context: ssl.SSLContext, folder: Path) -> None:
    """Take ``*.crt`` as authorities and each ``*.cert`` with its ``*.key`` as a client certificate."""
    _load(context, (str(file) for file in sorted(folder.glob("*.crt"))))
    for cert in sorted(folder.glob("*.cert")):
        _show(context, str(cert), str(cert.with_suffix(".key")))


def _showing(context: ssl.SSLContext, client: tuple[str, str] | None) -> ssl.SSLContext:
    if client is not None:
        _show(context, *client)
    return context


def _show(context: ssl.SSLContext, cert: str, key: str) -> None:
    try:
        context.load_cert_chain(cert, key or None)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(f"cannot use the client certificate {cert} with the key {key or cert}: {error}") from error


def _load(context: ssl.SSLContext, files: Iterable[str]) -> None:
    for file in files:
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError) as error:
            raise BadInput(f"cannot read certificate authorities from {file}: {error}") from error
