"""What a registry says was pushed (pure): the bodies of those that call a webhook, read for the images that they name.

A body is a hint and nothing more: it says which images might be worth a look. Of each sender the least is read that names an
image; what is not understood names none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from fleet.errors import BadInput
from fleet.images.reference import DOCKER_HUB, Reference

MOST_NAMED = 50
"""How many images one body may name; a registry says what was pushed in one step, or gathers some of them."""
_MOST_READ = 1000
"""How many parts of a body are looked at: a registry gathers events of layers and pulls with them."""
GHCR = "ghcr.io"
_ANYWHERE = "registry.invalid"
"""Stands for a registry that a body does not name, while the rest is parsed."""


class Sender(StrEnum):
    """Whose form a body has."""

    DISTRIBUTION = "distribution"
    """The CNCF distribution registry's notifications; also GitLab's own registry, and Azure's."""
    HARBOR = "harbor"
    """Harbor's, in its default form or as CloudEvents."""
    DOCKER_HUB = "docker-hub"
    """Docker Hub's."""
    GITHUB = "github"
    """GitHub's ``registry_package`` and ``package``."""
    GITEA = "gitea"
    """Gitea's and Forgejo's ``package``."""
    ARTIFACTORY = "artifactory"
    """JFrog Artifactory's ``docker`` events; it says the name of an image without what hosts put before it."""
    QUAY = "quay"
    """Quay's ``repo_push``."""
    GITLAB = "gitlab"
    """A pipeline of GitLab that went well: it says of no image, so all below its project are meant."""
    GENERIC = "generic"
    """``{"image": "..."}`` or ``{"images": [...]}``, of whoever can send nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One image that may have been pushed."""

    registry: str
    """Host and port as hosts may know it; empty: the body does not say."""
    repository: str
    tag: str = ""
    """Empty: any of them."""
    below: bool = False
    """Whether repositories below this one are meant as well."""
    keyed: bool = False
    """Whether hosts may know it with one part more before its name, whichever: the key of a local or a virtual repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Which images the body of one webhook of a registry says were pushed."""

    sender: Sender
    images: tuple[Pushed, ...] = ()


def heard(body: Any) -> Heard | None:
    """Return what a body says was pushed, :data:`MOST_NAMED` images at most; None where it has nobody's form."""
    found = _read(body)
    if found is None:
        return None
    sender, images = found
    named = dict.fromkeys(each for each in islice(images, _MOST_READ) if each)
    return Heard(sender=sender, images=tuple(named)[:MOST_NAMED])


_Named = Iterable[Pushed | None]


def _read(body: Any) -> tuple[Sender, _Named] | None:
    match body:
        case {"events": list(events)}:
            return Sender.DISTRIBUTION, map(_of_distribution, events)
        case {"action": str(), "target": dict(), "request": dict()}:
            return Sender.DISTRIBUTION, [_of_distribution(body)]
        case {"type": str(type), "event_data": dict(told)}:
            return Sender.HARBOR, _of_harbor(told) if type == "PUSH_ARTIFACT" else ()
        case {"type": str(type), "data": dict(told)} if type.startswith("harbor."):
            return Sender.HARBOR, _of_harbor(told) if type == "harbor.artifact.pushed" else ()
        case {"push_data": {"tag": str(tag)}, "repository": {"repo_name": str(name)}}:
            return Sender.DOCKER_HUB, [_named(f"{DOCKER_HUB}/{_official(name)}", tag)]
        case {"registry_package": dict(package)} | {"package": {"package_type": str()} as package}:
            return Sender.GITHUB, [_of_github(package)]
        case {"package": {"type": str(), "owner": dict()} as package}:
            return Sender.GITEA, [_of_gitea(package)] if body.get("action") == "created" else ()
        case {"domain": str(domain), "event_type": str(event), "data": dict(told)}:
            return Sender.ARTIFACTORY, [_of_artifactory(told)] if domain == "docker" and event in _ARTIFACTORY else ()
        case {"docker_url": str(name), "updated_tags": list() | dict() as tags}:
            return Sender.QUAY, (_named(name, tag) for tag in tags if isinstance(tag, str))
        case {"object_kind": str(kind), "project": {"path_with_namespace": str(path)}}:
            attributes = body.get("object_attributes")
            went_well = kind == "pipeline" and isinstance(attributes, dict) and attributes.get("status") == "success"
            return Sender.GITLAB, [_below(path)] if went_well else ()
        case {"image": str(name)}:
            return Sender.GENERIC, [_written(name)]
        case {"images": list(names)}:
            return Sender.GENERIC, (_written(name) for name in names if isinstance(name, str))
        case _:
            return None


def _of_distribution(event: Any) -> Pushed | None:
    """Read one notification: layers and manifests that were pushed by their digest have no tag."""
    match event:
        case {"action": "push", "target": {"repository": str(repository), "tag": str(tag)} as target}:
            request = event.get("request")
            host = request.get("host") if isinstance(request, dict) else None
            host = host or _host(str(target.get("url") or ""))
            return _named(f"{host}/{repository}", tag) if host else _named(f"{_ANYWHERE}/{repository}", tag)
        case _:
            return None


def _of_harbor(told: Mapping[str, Any]) -> _Named:
    resources = told.get("resources")
    for each in resources if isinstance(resources, list) else ():
        match each:
            case {"resource_url": str(url)} if "@" not in url:
                yield _written(url.partition("://")[2] or url)
            case _:
                yield None


def _of_github(package: Mapping[str, Any]) -> Pushed | None:
    kind = str(package.get("package_type") or "").lower()
    version = package.get("package_version")
    if kind not in ("container", "docker") or not isinstance(version, dict):
        return None
    name, _, tag = str(version.get("package_url") or "").partition(":")
    match version.get("container_metadata"):
        case {"tag": {"name": str(said)}} if said:
            tag = said
        case _:
            pass
    if not name:
        name = f"{GHCR}/{package.get('namespace')}/{package.get('name')}"
    return _named(name.lower(), tag) if tag else None


def _of_gitea(package: Mapping[str, Any]) -> Pushed | None:
    match package:
        case {
            "type": "container",
            "name": str(name),
            "version": str(version),
            "html_url": str(url),
            "owner": {"login": str(owner)},
        } if ":" not in version:  # a digest is no tag
            return _named(f"{_host(url)}/{owner}/{name}".lower(), version)
        case _:
            return None


_ARTIFACTORY = ("pushed", "promoted")
"""The events of its domain ``docker`` after which a tag may be another."""


def _of_artifactory(told: Mapping[str, Any]) -> Pushed | None:
    """Read an event of Artifactory: how hosts reach its repositories, by paths, subdomains or ports, it does not say."""
    match told:
        case {"image_name": str(name), "tag": str(tag)}:
            found = _named(f"{_ANYWHERE}/{name}", tag)
            return replace(found, keyed=True) if found else None
        case _:
            return None


def _below(path: str) -> Pushed | None:
    found = _named(f"{_ANYWHERE}/{path}".lower(), "latest")
    return Pushed(registry="", repository=found.repository, below=True) if found else None


def _written(text: str) -> Pushed | None:
    """Read a reference as a person writes it; without a tag, every tag is meant."""
    try:
        found = Reference.parse(text)
    except BadInput:
        return None
    return Pushed(registry=found.registry, repository=found.repository, tag=found.tag or "")


def _named(name: str, tag: str) -> Pushed | None:
    found = _written(f"{name}:{tag}") if tag else None
    if found is not None and found.registry == _ANYWHERE:
        return Pushed(registry="", repository=found.repository, tag=found.tag)
    return found


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _official(name: str) -> str:
    return name if "/" in name else f"library/{name}"
