"""Every option of Watchtower that its documentation names, and what becomes of it here. Data.

Read from the documentation of containrrr/watchtower and of nicholas-fedor/watchtower (November 2026). An environment
variable is called like its flag, unless it is named.
"""

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of one option."""

    POLICY = "policy"
    """It is in the policy."""
    SCHEDULE = "schedule"
    """It is in the schedule."""
    SAME = "same"
    """It need not be said here: Fleet always does so."""
    ELSEWHERE = "elsewhere"
    """It is set at another place, by hand."""
    DROPPED = "dropped"
    """There is no such thing here."""
    REFUSED = "refused"
    """It cannot be taken over, and without it more would be updated than Watchtower did: nothing is applied."""
    UNKNOWN = "unknown"
    """Watchtower's documentation does not name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option."""

    flag: str
    env: str
    short: str = ""
    switch: bool = False
    """Whether the flag takes no value of its own."""
    fate: Fate
    words: str = ""
    """Why, or where; empty where the code says it."""
    secret: bool = False


def _options(fate: Fate, words: str, *named: str, secret: bool = False) -> tuple[Option, ...]:
    """Return options written as ``flag``, ``flag!`` for a switch, ``flag,s`` with a short form, ``flag=ENV``."""
    found = []
    for written in named:
        left, _, env = written.partition("=")
        switch = left.endswith("!")
        flag, _, short = left.rstrip("!").partition(",")
        env = env or "WATCHTOWER_" + flag.upper().replace("-", "_")
        found.append(Option(flag=flag, env=env, short=short, switch=switch, fate=fate, words=words, secret=secret))
    return tuple(found)


_ENDPOINTS = (
    *("http-api-endpoints", "http-api-host", "http-api-port", "http-api-rate-limit", "http-api-tls-cert"),
    *("http-api-tls-key", "http-api-trusted-proxies", "http-api-proxy-header", "http-api-cors-origins"),
    *("http-api-check-timeout", "http-api-update-timeout", "http-api-update!", "http-api-metrics!"),
    *("http-api-containers!", "http-api-periodic-polls!"),
)
_CHANNELS = (
    *("notifications,n", "notification-email-from", "notification-email-to", "notification-email-server"),
    *("notification-email-server-tls-skip-verify!", "notification-email-server-user", "notification-email-server-port"),
    *("notification-gotify-url", "notification-gotify-tls-skip-verify!"),
    *("notification-slack-identifier", "notification-slack-channel"),
)
_SECRET_CHANNELS = (
    *("notification-url", "notification-email-server-password", "notification-gotify-token"),
    *("notification-msteams-hook", "notification-slack-hook-url"),
    "notification-msteams-hook=WATCHTOWER_NOTIFICATION_MSTEAMS_HOOK_URL",
)
_CHANNEL = "add a channel: fleet notify add NAME --url-file FILE, with a URL of Apprise"
_MESSAGES = (
    *("notifications-hostname", "notifications-delay", "notification-email-delay"),
    *("notification-split-by-container!", "notification-template", "notification-template-file"),
    *("notification-report!", "notification-title-tag", "notification-skip-title!", "notification-log-stdout!"),
    *("notification-email-subjecttag", "notification-slack-icon-emoji", "notification-slack-icon-url"),
    "no-startup-message!",
)
_GIT = (
    *("git-enable!", "git-image", "git-username", "git-ssh-key-path", "git-ssh-known-hosts", "git-timeout"),
    *("git-ca-bundle", "git-insecure-skip-tls!", "git-dockerfile", "git-context", "git-compose-stash!"),
    "compose-project",
)

OPTIONS = (
    *_options(Fate.POLICY, "", "cleanup!", "label-enable!", "scope", "monitor-only!", "no-pull!"),
    *_options(Fate.POLICY, "", "label-take-precedence!", "disable-containers,x", "enable-containers-by-label"),
    *_options(Fate.POLICY, "", "disable-containers-by-label", "monitor-image-names", "skip-image-names"),
    *_options(Fate.POLICY, "", "lifecycle-hooks!", "enable-lifecycle-hooks!"),
    *_options(Fate.SCHEDULE, "", "schedule,s", "interval,i=WATCHTOWER_POLL_INTERVAL", "run-once,R!"),
    *_options(Fate.SAME, "one container goes after the other, and each must prove itself", "rolling-restart!"),
    *_options(Fate.SAME, "Compose's depends_on always counts for the order", "use-compose-depends-on"),
    *_options(Fate.SAME, "every error of a registry is told, by: fleet outdated", "warn-on-head-failure"),
    *_options(Fate.SAME, "settings are kept as the engine tells them", "disable-memory-swappiness!", "cpu-copy-mode"),
    *_options(Fate.ELSEWHERE, "run it when you want it: fleet schedule run, once it was made", "update-on-start!"),
    *_options(Fate.ELSEWHERE, "a setting of the agent and the centre", "debug,d!", "trace!", "log-level"),
    *_options(Fate.ELSEWHERE, "a setting of the agent and the centre", "log-format,l"),
    *_options(Fate.ELSEWHERE, "an option of each command", "no-color!=NO_COLOR"),
    *_options(Fate.ELSEWHERE, "fleet -o json", "porcelain,P"),
    *_options(Fate.ELSEWHERE, "fleet healthcheck", "health-check!"),
    *_options(Fate.ELSEWHERE, "an agent runs beside each engine: fleet host add", "host,H=DOCKER_HOST"),
    *_options(Fate.ELSEWHERE, "a setting of the agent", "api-version,a=DOCKER_API_VERSION"),
    *_options(Fate.ELSEWHERE, "a setting of the agent", "tlsverify!=DOCKER_TLS_VERIFY"),
    *_options(Fate.ELSEWHERE, "give the agent the Docker configuration that holds the login", "repo-user=REPO_USER"),
    *_options(Fate.ELSEWHERE, "the agent and the centre read Docker's configuration", "docker-config=DOCKER_CONFIG"),
    *_options(Fate.ELSEWHERE, "mirrors and certificates are said in the policy", "registry-tls-skip!"),
    *_options(Fate.ELSEWHERE, "set it for the agent and the centre", "http-proxy=HTTP_PROXY"),
    *_options(Fate.ELSEWHERE, "set it for the agent and the centre", "https-proxy=HTTPS_PROXY", "no-proxy=NO_PROXY"),
    *_options(Fate.ELSEWHERE, "the centre has an HTTP API of its own: fleet token create", *_ENDPOINTS),
    *_options(
        Fate.ELSEWHERE,
        "the centre's API has tokens of its own: fleet token create",
        "http-api-token",
        "http-api-events-token",
        secret=True,
    ),
    *_options(Fate.DROPPED, "TLS older than 1.2 is never spoken", "registry-tls-min-version"),
    *_options(Fate.DROPPED, "only running containers are updated", "include-stopped,S!", "revive-stopped!"),
    *_options(Fate.DROPPED, "only running containers are updated", "include-restarting!"),
    *_options(
        Fate.DROPPED, "a new container is started and must prove itself, or the old one comes back", "no-restart!"
    ),
    *_options(Fate.DROPPED, "volumes are carried over and never deleted", "remove-volumes!"),
    *_options(Fate.DROPPED, "each container's own stop timeout counts", "stop-timeout=WATCHTOWER_TIMEOUT"),
    *_options(Fate.ELSEWHERE, "say it on the container: the label fleet.hook.user", "lifecycle-uid", "lifecycle-gid"),
    *_options(Fate.DROPPED, "images come from registries, not from Git", *_GIT),
    *_options(Fate.DROPPED, "images come from registries, not from Git", "git-auth-token", "git-password", secret=True),
    *_options(
        Fate.SAME,
        "an agent's own container is replaced by a container that is gone afterwards",
        "ephemeral-self-update!",
    ),
    *_options(Fate.ELSEWHERE, "give the agent's container the label fleet.ignore=true", "no-self-update!"),
    *_options(Fate.ELSEWHERE, _CHANNEL, *_CHANNELS),
    *_options(Fate.ELSEWHERE, _CHANNEL, *_SECRET_CHANNELS, secret=True),
    *_options(Fate.ELSEWHERE, "say it of the channel: fleet notify add --severity", "notifications-level"),
    *_options(Fate.DROPPED, "messages have one form, which shows: fleet notify preview NAME", *_MESSAGES),
    *_options(Fate.REFUSED, "cannot read this duration; set resolve.min_age in the policy", "cooldown-delay"),
    *_options(
        Fate.ELSEWHERE,
        "give the agent the Docker configuration that holds the login",
        "repo-pass=REPO_PASS",
        secret=True,
    ),
)

BY_FLAG = {option.flag: option for option in OPTIONS}
BY_SHORT = {option.short: option for option in OPTIONS if option.short}
BY_ENV = {option.env: option for option in OPTIONS}
