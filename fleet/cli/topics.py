"""What holds for all commands, by subject: ``fleet help TOPIC`` prints it."""

EXIT_CODES = {
    0: "done, or nothing to do",
    1: "error",
    2: "usage",
    3: "finished, but some hosts failed or were rolled back",
    4: "credentials needed",
    5: "not found",
    6: "refused: a stale plan, a freeze, a name that is taken, a thing that is not sure enough",
    7: "the wait ended, the work goes on",
    8: "the server does not answer",
    10: "changes pending (plan --exit-code alone)",
    130: "Ctrl-C",
}
"""What each exit code means."""

ENVIRONMENT = {
    "FLEET_SERVER": "where the server is, as --server",
    "FLEET_CONTEXT": "a server by its name, as --context",
    "FLEET_TOKEN_FILE": "file with the token, as --token-file",
    "FLEET_CA_FILE": "PEM file that vouches for the server, as --ca-file",
    "FLEET_OUTPUT": "what to print, as -o",
    "FLEET_NO_INPUT": "1: never ask, as --no-input",
    "FLEET_SOCKET": "the server's unix socket on this machine",
    "FLEET_STATE_DIR": "the directory in which that socket is, where FLEET_SOCKET does not name it",
    "FLEET_CONFIG": "the settings file, in place of ~/.config/fleet/config.toml and /etc/fleet/fleet.toml",
    "XDG_CONFIG_HOME": "in place of ~/.config",
    "XDG_CACHE_HOME": "in place of ~/.cache, where completion keeps names for a minute",
    "NO_COLOR": "not empty: no colours, as --no-color",
    "FORCE_COLOR": "not empty: colours also where no terminal listens",
    "TERM": "dumb: no colours",
    "COLUMNS": "how wide the terminal is, where it does not say so itself",
}
"""What each variable says to the commands that go to a server; the server's own settings are in its configuration."""


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"  {name.ljust(width)}  {text}" for name, text in rows.items())


TOPICS = {
    "environment": (
        "Which variables of the environment count.",
        "Options come first, then these, then the settings file.\n\n" + _table(ENVIRONMENT),
    ),
    "exit-codes": ("What each exit code means.", _table({str(code): text for code, text in EXIT_CODES.items()})),
    "formatting": (
        "What is printed: forms, columns, order.",
        """Data goes to stdout, words about it to stderr. Every list takes:

  -o table|wide|json|yaml|jsonl|csv|name
                   table fits a terminal, and is whole in a pipe; wide is whole; json is the API's own document
                   ("schema": "v1"), and yaml says the same; jsonl and csv are its items, a line each; name is -q.
                   What is no list takes table, json and yaml.
  -q               names (or ids) alone, one a line, as other commands take them; containers by host and name
  --columns A,B    these columns in this order, by their titles; of csv and jsonl, fields by their names
  --sort COLUMN    by this column; -COLUMN begins with the greatest. Numbers in names count as numbers
  --no-headers     no line of titles; without it, csv has one also where nothing follows

  fleet outdated -q | xargs -L1 fleet update --detach
  fleet host ls -o csv --columns name,engine_version --sort name
  fleet rollout ls --sort -begun --columns rollout,state,hosts""",
    ),
    "selectors": (
        "How hosts and containers are chosen.",
        """  --host PATTERN       hosts by name: web-1, 'web-*'
  --label K=V          hosts that have the label
  --image PATTERN      images by their full name: nginx is docker.io/library/nginx with any tag; 'ghcr.io/org/*'
  --container PATTERN  containers by name

The same option twice means one or the other (labels: both); different options must all hold. A host that is named
without wildcards and is not there is an error (exit 5). What is frozen, held, snoozed or skipped is left out, and
said: see fleet stops.

  fleet plan --label env=prod --image nginx
  fleet freeze --host 'shop-*' --until 2026-12-01T06:00Z --reason "Black Friday\"""",
    ),
    "queries": (
        "What the history is asked, and how.",
        """A query is a list of terms that must all hold. A comma means or, a minus before a term means not; what has a space,
a comma or a colon of its own stands in double quotes.

  host: container: image: digest: mirror: outcome: rollout: by: since: until:   and text

  fleet history ls 'image:nginx -outcome:updated since:2d "port is taken"'
  fleet history ls outcome:failure -o csv --all > failures.csv
  fleet history durations host:web-*""",
    ),
}  # fmt: skip
"""Each topic: what it is about in a sentence, and what holds."""
