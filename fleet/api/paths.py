"""Where the API is. Whoever asks before it may load the models finds it here."""

PREFIX = "/api/v1"
"""What every path of the API begins with."""
