"""The examples of the how-to pages on mirrors do over real sockets what the pages say, with the hosts' names put in."""

import json
import re
import ssl
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fleet.clock import SystemClock
from fleet.images.digest import Digest
from fleet.images.reference import Reference
from fleet.mirrors.attempt import AttemptResult
from fleet.mirrors.policy import parse_mirrors
from fleet.mirrors.source import Role
from fleet.mirrors.sources import Places, read_host_mirrors
from fleet.registry.credentials import CredentialSource, DockerConfig, NoCredentials
from fleet.testing.certificates import TestAuthority
from fleet.testing.engine import MemoryEngine
from fleet.testing.gatekeeper import Access
from fleet.testing.registry import ScriptedRegistry
from fleet.updates.command import Policy
from fleet.updates.known import KnownDigests
from fleet.updates.outcome import PullOutcome
from fleet.updates.pull import Puller
from tests.gateway.docking import pulling
from tests.gateway.harbour import PATIENT

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
HUB, GHCR = "nginx:1", "ghcr.io/org/app:1"
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def example(page: str, language: str, names: Mapping[str, str]) -> Any:
    """Return the first example of *page* in *language*, with *names* put in for the names that it has."""
    (text, *_) = re.findall(rf"```{language}\n(.*?)```", (PAGES / f"{page}.md").read_text(), re.DOTALL)
    for name, real in names.items():
        assert name in text, f"{page} does not name {name}"
        text = text.replace(name, real)
    return tomllib.loads(text) if language == "toml" else json.loads(text)


@dataclass
class Site:
    """One host, and the registries around it."""

    folder: Path
    stack: ExitStack
    authority: TestAuthority = field(default_factory=TestAuthority)
    credentials: CredentialSource = field(default_factory=NoCredentials)

    def registry(self, *images: str, secure: bool = False, **options: Any) -> ScriptedRegistry:
        """Start a registry that holds *images*, by their repositories."""
        tls = None
        if secure:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*self.authority.issue(["127.0.0.1"], self.folder))
        registry = self.stack.enter_context(ScriptedRegistry(tls=tls, **options))
        for image in images:
            registry.shelf.add_image(image, "1", layers=[b"layer" * 1000])
        return registry

    def file(self, name: str, content: Any) -> Path:
        """Write a JSON file."""
        path = self.folder / name
        path.write_text(json.dumps(content))
        return path

    def pull(self, reference: str, digest: Digest, policy: Any = None) -> PullOutcome:
        """Pull on this host, whose own files are those that were written."""
        places = Places(
            fleet_file=self.folder / "mirrors.json",
            daemon_files=(self.folder / "daemon.json",),
            certs_folders=(),
            registries_confs=(),
        )
        puller = Puller(
            MemoryEngine(SystemClock(), puller=pulling),
            state=self.folder / "state",
            known=KnownDigests(self.folder / "known.json"),
            host_mirrors=lambda: read_host_mirrors(None, places=places),
            credentials=self.credentials,
            clock=SystemClock(),
            limits=PATIENT,
            port=0,
        )
        try:
            return puller.pull(
                Reference.parse(reference),
                digest,
                pull_id=uuid4(),
                policy=Policy(mirrors=parse_mirrors(policy or {})),
                progress=lambda _: None,
            )
        finally:
            puller.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Start with no registry."""
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def digest_of(registry: ScriptedRegistry, repository: str) -> Digest:
    """Return what the tag 1 of *repository* has there."""
    return registry.shelf.repository(repository).tags["1"][-1]


def served(outcome: PullOutcome) -> list[str]:
    """Return who gave bytes; every pull here must succeed by mirrors alone."""
    assert outcome.ok, outcome.reason
    assert not any(attempt.bytes for attempt in outcome.attempts if attempt.role is Role.ORIGIN)
    return [attempt.source for attempt in outcome.attempts if attempt.bytes]


Written = Callable[[Site, str, Mapping[str, str]], Any]


def by_daemon_json(site: Site, page: str, names: Mapping[str, str]) -> Any:
    """Write the page's daemon.json; there is no policy."""
    site.file("daemon.json", example(page, "json", names))


def by_policy(site: Site, page: str, names: Mapping[str, str]) -> Any:
    """Return the page's policy."""
    return example(page, "toml", names)


@pytest.mark.parametrize("written", [by_daemon_json, by_policy])
def test_one_mirror_serves_images_of_every_registry(site: Site, written: Written) -> None:
    mirror = site.registry("library/nginx", "org/app")
    policy = written(site, "mirrors-basic", {"https://docker-mirror.company.com": mirror.url})
    for image, repository in ((HUB, "library/nginx"), (GHCR, "org/app")):
        assert served(site.pull(image, digest_of(mirror, repository), policy)) == [mirror.url]


@pytest.mark.parametrize("written", [by_daemon_json, by_policy])
def test_where_the_first_mirror_is_away_the_second_serves(site: Site, written: Written) -> None:
    primary, backup = site.registry("library/nginx"), site.registry("library/nginx")
    digest = digest_of(backup, "library/nginx")
    names = {"https://primary-mirror.company.com": primary.url, "https://backup-mirror.company.com": backup.url}
    policy = written(site, "mirrors-fallback", names)
    with primary.down():
        outcome = site.pull(HUB, digest, policy)
    assert served(outcome) == [backup.url]
    assert outcome.attempts[0].result is AttemptResult.UNREACHABLE
    assert served(site.pull(HUB, digest, policy)) == [primary.url], "in order again once it is back"


def corporate(site: Site) -> tuple[ScriptedRegistry, ScriptedRegistry]:
    """Start a Harbor and an Artifactory, with certificates of the company's own authority."""
    path = "/artifactory/api/docker/ghcr"
    return (
        site.registry("dockerhub/library/nginx", secure=True),
        site.registry("org/app", secure=True, base_path=path),
    )


def test_harbor_and_artifactory_are_asked_each_in_its_own_shape(site: Site) -> None:
    harbor, artifactory = corporate(site)
    names = {
        "harbor.internal.company.com": harbor.host,
        "artifactory.internal.company.com": artifactory.host,
        "/etc/ssl/company-ca.pem": str(site.authority.write(site.folder / "ca.pem")),
    }
    policy = example("mirrors-corporate", "toml", names)
    outcome = site.pull(HUB, digest_of(harbor, "dockerhub/library/nginx"), policy)
    assert served(outcome) == [f"{harbor.url}/dockerhub"]
    outcome = site.pull(GHCR, digest_of(artifactory, "org/app"), policy)
    assert served(outcome) == [f"{artifactory.url}/artifactory/api/docker/ghcr"]


def test_the_form_with_registries_counts_in_fleets_own_file(site: Site) -> None:
    harbor, artifactory = corporate(site)
    names = {"harbor.internal.company.com": harbor.host, "artifactory.internal.company.com": artifactory.host}
    site.file("mirrors.json", example("mirrors-corporate", "json", names))
    assert served(site.pull(HUB, digest_of(harbor, "dockerhub/library/nginx"))) == [f"{harbor.url}/dockerhub"]
    assert served(site.pull(GHCR, digest_of(artifactory, "org/app"))) != []


def test_without_its_authority_or_its_name_in_the_list_a_certificate_is_refused(site: Site) -> None:
    harbor, artifactory = corporate(site)
    names = {"harbor.internal.company.com": harbor.host, "artifactory.internal.company.com": artifactory.host}
    document = example("mirrors-corporate", "json", names)
    # A local registry counts as insecure for Docker by itself; a mirror in the policy never does.
    policy = {"mirrors": [{"for": "docker.io", **document["registries"]["docker.io"][0]}]}
    outcome = site.pull(HUB, digest_of(harbor, "dockerhub/library/nginx"), policy)
    assert not outcome.ok
    assert outcome.attempts[0].result is AttemptResult.UNREACHABLE
    assert harbor.log == []


def test_a_cloud_mirror_gets_the_login_of_its_own_program_and_the_next_one_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    amazon = site.registry(
        "docker-hub/library/nginx", access=Access(scheme="basic", username="AWS", password="renewed")
    )
    google = site.registry("library/nginx", access=Access(scheme="basic", username="never", password="known"))
    program = site.folder / "docker-credential-ecr-login"
    program.write_text(
        f'#!/bin/sh\nread -r server\n[ "$server" = "{amazon.host}" ] || {{ echo credentials not found; exit 1; }}\n'
        """echo '{"Username": "AWS", "Secret": "renewed"}'\n"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{site.folder}:/usr/bin:/bin")
    site.credentials = DockerConfig.load(site.file("config.json", example("mirrors-cloud", "json", {ECR: amazon.host})))
    names = {f"https://{ECR}": amazon.url, "https://mirror.gcr.io": google.url}
    policy = example("mirrors-cloud", "toml", names)
    digest = digest_of(amazon, "docker-hub/library/nginx")
    assert served(site.pull(HUB, digest, policy)) == [f"{amazon.url}/docker-hub"]
    policy["mirrors"].reverse()
    outcome = site.pull(HUB, digest, policy)
    assert outcome.attempts[0].result is AttemptResult.UNAUTHORIZED
    assert served(outcome) == [f"{amazon.url}/docker-hub"]
    assert google.log and not any("authorization" in request.headers for request in google.log)
