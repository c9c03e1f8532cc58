"""Platforms compare as engines compare them."""

import pytest

from fleet.errors import BadInput
from fleet.images.platform import Platform


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AArch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i686", "linux/386"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_spelled_one_way(text: str, spelled: str) -> None:
    """However a kernel or a person calls it, a platform has one spelling."""
    assert str(Platform.parse(text)) == spelled
    assert Platform.parse(spelled) == Platform.parse(text)


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d"])
def test_other_shapes_are_refused(text: str) -> None:
    """A platform has two or three parts."""
    with pytest.raises(BadInput, match=r"^cannot "):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("machine", "offered", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/386", True),
        ("linux/amd64", "linux/amd64/v3", False),
        ("linux/amd64/v3", "linux/amd64/v2", True),
        ("linux/amd64/v3", "linux/amd64", True),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm64", "linux/arm/v7", True),
        ("linux/arm64", "linux/amd64", False),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_runs_what_its_hardware_runs(machine: str, offered: str, runs: bool) -> None:
    """A newer variant runs an older one's images, never the other way round."""
    assert Platform.parse(machine).matches(Platform.parse(offered)) is runs


def test_the_best_offer_wins_wherever_it_stands() -> None:
    """Of several that would run, the one nearest to the machine is chosen, not the first."""
    offers = [Platform("linux", "arm", "v5"), None, Platform("linux", "arm", "v7"), Platform("linux", "arm64", "v8")]
    assert Platform.parse("linux/arm64").choose(offers) == 3
    assert Platform.parse("linux/arm/v7").choose(offers) == 2
    assert Platform.parse("linux/riscv64").choose(offers) is None


def test_windows_builds_must_agree() -> None:
    """A Windows image of another build does not run; of another patch of it, it does."""
    machine = Platform("windows", "amd64", os_version="10.0.20348.2113")
    assert machine.matches(Platform("windows", "amd64", os_version="10.0.20348.1"))
    assert not machine.matches(Platform("windows", "amd64", os_version="10.0.17763.5329"))
