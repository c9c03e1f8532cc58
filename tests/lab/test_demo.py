"""``make demo`` keeps what it promises."""

import pytest

from tests import needs
from tests.lab import demo


@pytest.mark.timeout(1500)
def test_the_demo_comes_to_its_end() -> None:
    """Every claim that it prints, it checks against engines and registries; it fails with the first that is wrong."""
    needs.lab()
    needs.redis()
    needs.postgresql()
    assert demo.main() == 0
