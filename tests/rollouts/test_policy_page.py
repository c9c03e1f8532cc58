"""The page that tells people how to write a policy shows one that can be written."""

import re
import tomllib
from pathlib import Path

from fleet.rollouts.policy import read_policy, selection_of
from fleet.rollouts.trust import ORIGIN_ALONE, read_resolve
from fleet.updates.command import Policy

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "policy.md"


def test_its_example_is_read_and_says_the_defaults_where_the_page_calls_them_so() -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    document = tomllib.loads(found[1])
    policy, plain = read_policy(document, "the page"), Policy()
    assert (policy.verify, policy.loose_files, policy.remove_old_image) == (
        plain.verify,
        plain.loose_files,
        plain.remove_old_image,
    )
    assert read_resolve(document) == ORIGIN_ALONE
    left_out = selection_of(document).leaves_out("db-1", "ghcr.io/acme/db:1", {})
    assert left_out
    assert not selection_of(document).leaves_out("web", "ghcr.io/acme/web:1", {})
