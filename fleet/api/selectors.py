"""Which hosts and containers a request is about."""

from pydantic import Field, field_validator

from fleet.api.form import Request


class Selector(Request):
    """What to take; everything given must hold, and what is empty takes all."""

    hosts: tuple[str, ...] = Field(default=(), max_length=1000)
    """Names of hosts with ``*`` and ``?``; one of them must fit."""
    labels: dict[str, str] = Field(default_factory=dict, max_length=100)
    """Labels that a host must have, with their values."""
    images: tuple[str, ...] = Field(default=(), max_length=1000)
    """Patterns of images: ``nginx``, ``ghcr.io/org/*``; one of them must fit."""
    containers: tuple[str, ...] = Field(default=(), max_length=1000)
    """Names of containers with ``*`` and ``?``; one of them must fit."""

    @field_validator("hosts", "images", "containers")
    @classmethod
    def _nonempty(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if any(not pattern.strip() or len(pattern) > 512 for pattern in patterns):
            raise ValueError("a pattern has 1 to 512 characters")
        return patterns

    def document(self) -> dict[str, object]:
        """Return what is set, as JSON holds it."""
        return self.model_dump(mode="json", exclude_defaults=True)
