"""Where the API is. Whoever asks before it may load the models finds it here."""

PREFIX = "/api/v1"
"""What every path of the API begins with."""
DRY_RUN = f"{PREFIX}/dry-run"
"""Below which every path of the API stands a second time: what is asked there is tried, and taken back."""
HOOKS = "/hooks"
"""What stands before the id of a receiver, at which registries say that something was pushed."""
