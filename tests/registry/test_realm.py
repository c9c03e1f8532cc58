"""Who may be asked, and shown credentials, by a registry's word."""

import pytest

from fleet.registry.realm import may_ask, may_see_credentials, same_server

HUB = "https://registry-1.docker.io/v2/"


@pytest.mark.parametrize(
    ("endpoint", "realm", "trusted", "seen"),
    [
        (HUB, "https://auth.docker.io/token", (), True),
        ("https://ghcr.io/v2/", "https://ghcr.io/token", (), True),
        ("https://registry.gitlab.com/v2/", "https://gitlab.com/jwt/auth", (), True),
        ("https://reg.example.co.uk/v2/", "https://auth.example.co.uk/t", (), True),
        ("https://reg.example.co.uk/v2/", "https://evil.co.uk/t", (), False),
        (HUB, "https://auth.docker.io.evil.example/token", (), False),
        (HUB, "https://evil-docker.io/token", (), False),
        (HUB, "http://auth.docker.io/token", (), False),
        (HUB, "https://user@auth.docker.io/token", (), False),
        (HUB, "https://login.lan/token", ("login.lan",), True),
        (HUB, "http://login.lan/token", ("login.lan",), False),
        ("https://mine.azurecr.io/v2/", "https://yours.azurecr.io/t", (), False),
        ("https://mine.azurecr.io/v2/", "https://mine.azurecr.io/oauth2/token", (), True),
        ("https://1.dkr.ecr.eu-west-1.amazonaws.com/v2/", "https://x.s3.amazonaws.com/t", (), False),
        ("https://10.0.0.1/v2/", "https://10.0.0.2/t", (), False),
        ("https://harbor/v2/", "https://harbor/service/token", (), True),
        ("https://harbor/v2/", "https://other/service/token", (), False),
        ("http://reg.lan:5000/v2/", "http://reg.lan:5001/auth", (), True),
        ("http://reg.lan:5000/v2/", "http://auth.lan/auth", (), False),
        ("https://reg.lan/v2/", "https://REG.lan./auth", (), True),
        ("https://com/v2/", "https://evil.com/t", (), False),
        ("https://co.uk/v2/", "https://evil.co.uk/t", (), False),
    ],
)
def test_who_sees_credentials(endpoint: str, realm: str, trusted: tuple[str, ...], seen: bool) -> None:
    """The same owner over https sees them, or who is named; nobody else."""
    assert may_see_credentials(endpoint, realm, trusted) is seen


@pytest.mark.parametrize(
    ("endpoint", "url", "asked"),
    [
        (HUB, "https://production.cloudflare.docker.com/blob", True),
        (HUB, "http://production.cloudflare.docker.com/blob", False),
        (HUB, "https://127.0.0.1:2375/containers/json", False),
        (HUB, "https://localhost/x", False),
        (HUB, "https://[::1]/x", False),
        (HUB, "https://169.254.169.254/latest/meta-data", False),
        (HUB, "https://[fe80::1]/x", False),
        (HUB, "https://0.0.0.0/x", False),
        (HUB, "https://10.0.0.7/x", True),
        (HUB, "ftp://h/x", False),
        (HUB, "file:///etc/passwd", False),
        (HUB, "https://admin:admin@10.0.0.1/reboot", False),
        (HUB, "https://registry-1.docker.io@10.0.0.1/x", False),
        (HUB, "https://", False),
        (HUB, "https://[::1/x", False),
        ("http://reg.lan/v2/", "https://reg.lan/x", True),
        ("http://reg.lan/v2/", "http://169.254.169.254/x", False),
        ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/x", True),
        ("http://127.0.0.1:5000/v2/", "http://cdn.lan/x", True),
        ("http://169.254.1.1/v2/", "http://169.254.1.1/x", True),
    ],
)
def test_where_a_server_may_send_the_client(endpoint: str, url: str, asked: bool) -> None:
    """Never to less protection, and from elsewhere never to this machine or a cloud's metadata."""
    assert may_ask(endpoint, url) is asked


def test_a_server_is_the_same_whatever_its_path() -> None:
    """The default port may be written or not."""
    assert same_server("https://h/a", "https://H:443/b?c")
    assert not same_server("https://h/", "http://h/")
    assert not same_server("https://h/", "https://h:444/")
