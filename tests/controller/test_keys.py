"""The centre's key: made once, kept private, and its public half handed out."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleet.controller import keys
from fleet.errors import BadInput, Refused


def test_the_first_start_makes_a_key_and_later_ones_keep_it(tmp_path: Path) -> None:
    assert keys.signing_key(tmp_path).kid == keys.signing_key(tmp_path).kid


def test_planners_that_start_together_make_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(keys.signing_key, [tmp_path] * 8))
    assert len({key.kid for key in made}) == 1


def test_the_public_half_is_there_for_the_others(tmp_path: Path) -> None:
    key = keys.signing_key(tmp_path)
    assert [public.kid for public in keys.public_keys(tmp_path)] == [key.kid]


def test_the_private_half_is_its_owners_alone(tmp_path: Path) -> None:
    keys.signing_key(tmp_path)
    assert stat.S_IMODE((tmp_path / keys.PRIVATE).stat().st_mode) == 0o600


def test_nothing_secret_is_in_the_public_file(tmp_path: Path) -> None:
    keys.signing_key(tmp_path)
    assert '"d"' not in (tmp_path / keys.PUBLIC).read_text()


def test_before_the_planner_there_is_no_public_key(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^cannot read the centre's public key .*try again"):
        keys.public_keys(tmp_path)


def test_a_key_that_others_may_read_is_void(tmp_path: Path) -> None:
    keys.signing_key(tmp_path)
    (tmp_path / keys.PRIVATE).chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        keys.signing_key(tmp_path)


def test_a_broken_public_file_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / keys.PUBLIC).write_text("[{}]")
    with pytest.raises(BadInput, match=r"^cannot read"):
        keys.public_keys(tmp_path)
