"""The page of settings says what the program has."""

from pathlib import Path

from fleet.settings import sources
from fleet.settings.agent import AgentSettings
from fleet.settings.centre import CentreSettings
from scripts import settings_page

PAGE = Path(__file__).parents[2] / "docs/settings.md"


def test_every_setting_is_documented_as_it_is_declared() -> None:
    """Written by scripts/settings_page.py."""
    text = PAGE.read_text()
    assert settings_page.page(text) == text
    for kind in (CentreSettings, AgentSettings):
        for path, field in sources.leaves(kind):
            assert f"| `{sources.env_name(path, field)}`" in text, path
