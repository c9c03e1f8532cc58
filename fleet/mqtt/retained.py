"""What stands at the MQTT broker, as far as is known (pure): only what differs from it is sent."""

from collections.abc import Iterator, Mapping

_CONFIG = "/config"


class Retained:
    """What stands there of each owner: of a payload a number, since of 10,000 hosts there are many."""

    def __init__(self) -> None:
        """Know of nothing."""
        self._stands: dict[str, dict[str, int]] = {}

    def knows(self, owner: str) -> bool:
        """Tell whether it is known what stands of *owner*."""
        return owner in self._stands

    def learn(self, owner: str, found: Mapping[str, bytes]) -> None:
        """Take it that *found*, and nothing else, stands of *owner*."""
        self._stands[owner] = {topic: hash(payload) for topic, payload in found.items()}

    def settle(self, owner: str, wanted: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """Yield what is to be sent so that *wanted*, and nothing else, stands of *owner*, and take it as sent.

        States come before the descriptions of their entities, and what is to go is emptied the other way round.
        """
        stands = self._stands.setdefault(owner, {})
        for topic in sorted(stands.keys() - wanted.keys(), key=lambda topic: not topic.endswith(_CONFIG)):
            del stands[topic]
            yield topic, b""
        for topic, payload in wanted.items():
            number = hash(payload)
            if stands.get(topic) != number:
                stands[topic] = number
                yield topic, payload
