"""``python -m fleet.notify.apprise_send``: hand one message to Apprise, in a process that ends with it.

So a plug-in that never comes back is ended from outside, its hundred modules take memory for a second, and whatever
Apprise logs, URLs with passwords among it, is read here and goes nowhere.
"""

import json
import logging
import re
import sys
from io import StringIO
from typing import Any

_STATUS = re.compile(r"error=(\d{3})\b")
"""How Apprise's plug-ins log the status of an answer."""


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Check a URL, or send a message to it; return ``ok``, and why not."""
    try:
        import apprise
    except ImportError:
        return {"ok": False, "reason": "Apprise is not installed; install it with: pip install 'fleet-updater[notify]'"}
    said = _listen()
    found = apprise.Apprise()
    if not found.add(asked["url"]):
        return {"ok": False, "reason": "Apprise does not know this URL; see its list of services"}
    if "body" not in asked:
        return {"ok": True}
    told = {"title": asked["title"], "body": asked["body"], "notify_type": asked["type"]}
    ok = bool(found.notify(**told, body_format=asked["format"]))
    statuses = _STATUS.findall(said.getvalue())
    why = f"the service answered {statuses[-1]}" if statuses else "the service could not be reached, or did not take it"
    return {"ok": ok, "reason": "" if ok else why}


def _listen() -> StringIO:
    """Let what Apprise and its libraries log go into a text, and nowhere else."""
    said = StringIO()
    logging.root.handlers[:] = [logging.StreamHandler(said)]
    own = logging.getLogger("apprise")
    own.handlers[:] = []
    own.setLevel(logging.WARNING)
    return said


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, StringIO()
    json.dump(run(json.load(sys.stdin)), out)
