"""Messages by Apprise (https://appriseit.com), which knows more than a hundred services: mail, ntfy, Telegram, Matrix, ..."""

from typing import Any

from fleet.errors import BadInput
from fleet.notify import child
from fleet.notify.sent import TAKEN, Came, later
from fleet.notify.severity import Severity
from fleet.notify.template import Format
from fleet.notify.text import Message

LONGEST_URL = 4000
TIMEOUT_S = 40.0
"""Seconds until a message is given up for now; a mail server is slow."""
_TYPES = {Severity.ERROR: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}
_LOCAL = ("dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows")
"""Schemes that tell this machine alone, where nobody sits."""


def check_url(url: str) -> str:
    """Return what may be shown of a URL of Apprise, its scheme; raise BadInput for one that Apprise does not know.

    Of the rest each part may be a secret, the host among them.
    """
    scheme, colon, rest = url.partition("://")
    if len(url) > LONGEST_URL or not colon or not rest or not scheme.replace("+", "").replace("-", "").isalnum():
        raise BadInput("cannot use this URL; expected one of Apprise's, such as ntfys://host/topic")
    if scheme.lower() in _LOCAL:
        raise BadInput(
            f"cannot use {scheme}://: it tells the centre's own machine alone; name a service that people read"
        )
    came = _ask({"url": url})
    if not came["ok"]:
        raise BadInput(f"cannot use this URL: {came['reason']}")
    return f"{scheme}://..."


def send(url: str, told: Message, format: Format = Format.TEXT, *, timeout_s: float = TIMEOUT_S) -> Came:
    """Send one message, and return what came of it."""
    asked = {"url": url, "title": told.title, "body": told.body, "type": _TYPES[told.severity], "format": format.value}
    came = _ask(asked, timeout_s)
    return TAKEN if came["ok"] else later(came["reason"])


def _ask(asked: dict[str, Any], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    try:
        return child.ask("fleet.notify.apprise_send", asked, child.environment(whole=True), timeout_s)
    except TimeoutError:
        return {"ok": False, "reason": f"the service did not answer within {timeout_s:g} s"}
    except OSError:
        return {"ok": False, "reason": "Apprise ended without an answer"}
