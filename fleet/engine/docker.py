"""The Docker engine behind the protocol: the one file that imports docker, by its low-level client alone.

The high-level ``images.pull`` of that library reports a failed pull as a success, so nothing of it is used here.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import quote, urlencode

import docker.auth
import docker.errors
import requests
import urllib3
from docker.api.client import APIClient

from fleet.clock import Clock, SystemClock
from fleet.engine.answers import event_of, facts_of, pull_event_of
from fleet.engine.chosen_mac import TOLD, ChosenMacs
from fleet.engine.long_request import LongRequest, PullStream, Refusal
from fleet.engine.protocol import CreateSpec, Engine, EngineEvent, EngineFacts, Executed, Inspect, PullEvent
from fleet.engine.written import MOST_OUTPUT_BYTES, payloads, read_to_end
from fleet.errors import BadInput, EngineError, EngineUnreachable
from fleet.images.reference import Reference

DEFAULT_URL = "unix:///var/run/docker.sock"
DEFAULT_TIMEOUT_S = 60.0
"""The most that one call may take; the longest usual one is a create with a volume that is filled from the image."""
PULL_SILENCE_S = 900.0
"""The longest silence of a pull: the engine says nothing while it commits a layer, which may take minutes."""
EVENT_WINDOW_S = 30.0
"""How long one request for events is kept open, so that an engine that hangs is noticed."""
LONGEST_STOP_S = 3600
"""What stands for a StopTimeout of -1, "for ever"."""
_ADDED, _DELETED = 1, 2
"""Kinds of paths in the engine's diff; 0 is a changed one."""
DEFAULT_STOP_S = 10
REMOVAL_WAIT_S = 60.0
"""How long a removal that somebody else began is waited for."""


def connect(url: str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S, *, clock: Clock | None = None) -> Engine:
    """Return the engine at *url* (``unix:///path`` or ``tcp://host:port``); the first call dials it."""
    return DockerEngine(url or DEFAULT_URL, timeout_s, clock or SystemClock())


class DockerEngine:
    """A Docker engine; one client that negotiates the API's version again whenever the engine was away."""

    def __init__(self, url: str, timeout_s: float, clock: Clock) -> None:
        """Remember *url*; raise BadInput for a scheme that is not ``unix`` or ``tcp``."""
        if not url.startswith(("unix://", "tcp://")):
            raise BadInput(f"cannot use {url!r} as an engine's address; expected unix:///path/to/docker.sock")
        self.url = url
        self._timeout_s = timeout_s
        self._clock = clock
        self._client: APIClient | None = None
        self._macs = ChosenMacs()

    def facts(self) -> EngineFacts:
        """Return what the engine says about itself."""
        with self._asking("read the engine's facts") as api:
            told = api.info()
            return facts_of(told, api.api_version)

    def ping(self) -> None:
        """Return if the engine answers."""
        with self._asking("ping the engine") as api:
            api.ping()

    def container_ids(self, *, all: bool = False) -> list[str]:
        """Return the full ids of the running containers, or of all."""
        with self._asking("list containers") as api:
            return [row["Id"] for row in api.containers(quiet=True, all=all)]

    def inspect(self, container: str) -> Inspect | None:
        """Return the full inspect of a container, or None where there is none."""
        doing, path = f"inspect container {container}", f"/containers/{quote(container, safe='')}/json"
        found, version = self._found(doing, path)
        if found is not None:
            self._macs.complete(found, version, lambda: self._found(doing, path, version=TOLD)[0])
        return found

    def image(self, image: str) -> Inspect | None:
        """Return the inspect of an image by id or reference, or None where there is none."""
        return self._found(f"inspect image {image}", f"/images/{quote(image, safe='/:@')}/json")[0]

    def pull(self, reference: str, *, auth: Mapping[str, str] | None = None, platform: str = "") -> Iterator[PullEvent]:
        """Pull *reference* and yield the stream's lines; an error line raises EngineError. What is returned has a ``cut``."""
        request = LongRequest(self.url, connect_s=self._timeout_s, silence_s=PULL_SILENCE_S)
        return PullStream(self._pulled(request, reference, auth, platform), request)

    def _pulled(
        self, request: LongRequest, reference: str, auth: Mapping[str, str] | None, platform: str
    ) -> Iterator[PullEvent]:
        named = Reference.parse(reference)
        query = {"fromImage": named.name, "tag": str(named.digest) if named.digest else named.tag_or_latest}
        query |= {"platform": platform} if platform else {}
        headers = {"X-Registry-Auth": docker.auth.encode_header(dict(auth or {}))}
        with self._asking(doing := f"pull {reference}") as api:
            path = f"/v{api.api_version}/images/create?{urlencode(query)}"
        try:
            for line in request.lines(path, headers):
                yield pull_event_of(reference, json.loads(line))
        except Refusal as error:
            raise self._told(doing, str(error), error.status) from error
        except (OSError, HTTPException) as error:
            if request.is_cut:
                raise EngineError(f"cannot {doing}: it was given up") from error
            raise self._gone(doing) from error

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give *image* one more name."""
        with self._asking(f"tag {image} as {repository}:{tag}") as api:
            api.tag(image, repository, tag)

    def remove_image(self, image: str, *, prune_parents: bool = False) -> None:
        """Remove a name of an image, or the image where *image* is an id."""
        with self._asking(f"remove image {image}") as api:
            api.remove_image(image, noprune=not prune_parents)

    def image_names(self) -> list[str]:
        """Return every ``repository:tag`` and ``repository@digest`` that the engine has."""
        with self._asking("list images") as api:
            rows = api.images()
        names = [name for row in rows for key in ("RepoTags", "RepoDigests") for name in row.get(key) or []]
        return [name for name in names if "<none>" not in name]

    def create(self, spec: CreateSpec) -> str:
        """Create a container, connect its further networks, and return its full id."""
        with self._asking(f"create container {spec.name}") as api:
            query = {"name": spec.name} | ({"platform": spec.platform} if spec.platform else {})
            container = str(self._post(api, "/containers/create", params=query, json=dict(spec.body)).json()["Id"])
        try:
            for network, endpoint in spec.connect:
                self._connect(container, network, endpoint)
        except BaseException:
            with suppress(EngineError, EngineUnreachable):
                self.remove(container, force=True)
            raise
        return container

    def start(self, container: str) -> None:
        """Start a container; already running is a success."""
        with self._asking(f"start container {container}") as api:
            api.start(container)

    def stop(self, container: str, *, timeout_s: int | None = None, signal: str = "") -> None:
        """Stop a container with *signal* (empty: its StopSignal), and kill it after *timeout_s* (None: its StopTimeout)."""
        patience = self._own_stop_timeout(container) if timeout_s is None else timeout_s
        patience = patience if patience >= 0 else LONGEST_STOP_S
        if signal:
            patience -= self._signalled(container, signal, patience)
        with self._asking(f"stop container {container}") as api:
            api.stop(container, timeout=max(0, patience))

    def _signalled(self, container: str, signal: str, patience_s: int) -> int:
        """Send *signal* and wait until the container has ended, *patience_s* at most; return how long that took.

        A stop takes a signal only from API 1.42 on; this is what it does, on every engine. One that is not running, or
        was removed with its end, is left to the stop that follows.
        """
        began = self._clock.monotonic()
        try:
            with self._asking(f"send {signal} to container {container}") as api:
                api.kill(container, signal)
        except EngineError as error:
            if error.status not in (404, 409):
                raise
            return 0
        while (found := self.inspect(container)) is not None and found["State"].get("Running"):
            if self._clock.monotonic() - began >= patience_s:
                break
            self._clock.sleep(0.05)
        return math.ceil(self._clock.monotonic() - began)

    def rename(self, container: str, name: str) -> None:
        """Rename a container."""
        with self._asking(f"rename container {container} to {name}") as api:
            api.rename(container, name)

    def remove(self, container: str, *, force: bool = False) -> None:
        """Remove a container, never its volumes; already gone is a success."""
        try:
            with self._asking(f"remove container {container}") as api:
                api.remove_container(container, v=False, force=force)
        except EngineError as error:
            if error.status == 409 and "already in progress" in str(error):
                self._await_removal(container, error)
            elif error.status != 404:
                raise

    def set_restart_policy(self, container: str, policy: Mapping[str, Any]) -> None:
        """Change a container's restart policy in place."""
        with self._asking(f"set the restart policy of container {container}") as api:
            path = f"/containers/{quote(container, safe='')}/update"
            self._post(api, path, json={"RestartPolicy": dict(policy)}).close()

    def changes(self, container: str) -> dict[str, bool]:
        """Return the paths of a container's writable layer, and whether each was added (else it was changed)."""
        with self._asking(f"read the changed files of container {container}") as api:
            rows = api.diff(container) or ()
        return {str(row["Path"]): row.get("Kind") == _ADDED for row in rows if row.get("Kind") != _DELETED}

    def read_files(self, container: str, path: str, *, most_bytes: int) -> bytes:
        """Return a tar of what is at *path*; raise EngineError where it would be over *most_bytes*."""
        packed = bytearray()
        with self._asking(f"read {path} of container {container}") as api:
            stream, _ = api.get_archive(container, path)
            for chunk in stream:
                packed += chunk
                if len(packed) > most_bytes:
                    raise EngineError(f"cannot read {path} of container {container}: it is over {most_bytes} bytes")
        return bytes(packed)

    def write_files(self, container: str, folder: str, packed: bytes) -> None:
        """Unpack the tar *packed* into a *folder* of a container."""
        with self._asking(f"write files into {folder} of container {container}") as api:
            api.put_archive(container, folder, packed)

    def execute(self, container: str, command: Sequence[str], *, user: str = "", timeout_s: float) -> Executed:
        """Run *command* in a running container, and return what came of it within *timeout_s*."""
        with self._asking(f"run {command[0]} in container {container}") as api:
            made = str(api.exec_create(container, list(command), user=user)["Id"])
            told = read_to_end(api.exec_start(made, socket=True), self._clock, timeout_s)
            code = api.exec_inspect(made).get("ExitCode")
        output = b"" if told is None else b"".join(payloads(told))
        return Executed(code=None if told is None else code, output=output[:MOST_OUTPUT_BYTES].decode(errors="replace"))

    def events(self, *, since: datetime | None = None) -> Iterator[EngineEvent]:
        """Yield the engine's container and image events until closed; one request covers EVENT_WINDOW_S."""
        begun = since or self._clock.now()
        while True:
            until = max(begun, self._clock.now()) + timedelta(seconds=EVENT_WINDOW_S)
            yield from self._events_between(begun, until)
            begun = until

    def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @contextmanager
    def _asking(self, doing: str) -> Iterator[APIClient]:
        """Lend the client, and translate what it raises into our own errors; "cannot *doing*: ...\""""
        try:
            if self._client is None:
                self._client = APIClient(base_url=self.url, version="auto", timeout=math.ceil(self._timeout_s))
            yield self._client
        except docker.errors.APIError as error:
            raise self._refused(doing, error) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, docker.errors.DockerException) as error:
            raise self._gone(doing) from error

    def _gone(self, doing: str) -> EngineUnreachable:
        self.close()
        return EngineUnreachable(
            f"cannot {doing}: no answer from the engine at {self.url}; is it running, and may this user use it?"
        )

    def _refused(self, doing: str, error: docker.errors.APIError) -> EngineError:
        status = int(error.response.status_code) if error.response is not None else 0
        return self._told(doing, str(error.explanation or error), status)

    def _told(self, doing: str, explanation: str, status: int) -> EngineError:
        if "client version" in explanation:
            self.close()
        return EngineError(f"cannot {doing}: {explanation}", status=status)

    def _found(self, doing: str, path: str, *, version: str = "") -> tuple[Inspect | None, str]:
        """Return the inspect at *path*, None where there is none, and the API version by which it was asked for."""
        with self._asking(doing) as api:
            spoken = version or str(api.api_version)
            answer = api.get(f"{api.base_url}/v{spoken}{path}", timeout=self._timeout_s)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None, spoken
            _raise_for_status(answer)
            return cast(Inspect, answer.json()), spoken

    def _post(self, api: APIClient, path: str, **request: Any) -> requests.Response:
        answer = api.post(f"{api.base_url}/v{api.api_version}{path}", timeout=self._timeout_s, **request)
        _raise_for_status(answer)
        return answer

    def _connect(self, container: str, network: str, endpoint: Mapping[str, Any]) -> None:
        asked = {"Container": container, "EndpointConfig": dict(endpoint)}
        with self._asking(f"connect container {container} to network {network}") as api:
            self._post(api, f"/networks/{quote(network, safe='')}/connect", json=asked).close()

    def _own_stop_timeout(self, container: str) -> int:
        found = self.inspect(container) or {}
        own = found.get("Config", {}).get("StopTimeout")
        return DEFAULT_STOP_S if own is None else int(own)

    def _await_removal(self, container: str, error: EngineError) -> None:
        deadline = self._clock.monotonic() + REMOVAL_WAIT_S
        while self.inspect(container) is not None:
            if self._clock.monotonic() > deadline:
                raise error
            self._clock.sleep(0.1)

    def _events_between(self, since: datetime, until: datetime) -> Iterator[EngineEvent]:
        query = {
            "since": f"{since.timestamp():.6f}",
            "until": f"{until.timestamp():.6f}",
            "filters": json.dumps({"type": ["container", "image"]}),
        }
        with self._asking("read the engine's events") as api:
            url = f"{api.base_url}/v{api.api_version}/events"
            with api.get(url, params=query, stream=True, timeout=EVENT_WINDOW_S + self._timeout_s) as answer:
                _raise_for_status(answer)
                for line in answer.iter_lines(chunk_size=1):
                    if line:
                        yield event_of(json.loads(line))


def _raise_for_status(answer: requests.Response) -> None:
    """Raise the docker library's own error, so that one place translates it."""
    try:
        answer.raise_for_status()
    except requests.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)
