"""An order says all that a host needs, in words that agents of an earlier release read too."""

from uuid import UUID

import pytest

from fleet.errors import BadInput
from fleet.images.digest import Digest
from fleet.images.platform import Platform
from fleet.images.reference import Reference
from fleet.road.messages import Order
from fleet.updates.command import Policy, Target, UpdateCommand, pull_key, split_pull_key

DIGEST = Digest.of(b"new")


def command(platform: Platform | None) -> UpdateCommand:
    target = Target(
        update_id=UUID(int=2),
        container_id="c" * 64,
        container="web",
        image_id=str(Digest.of(b"old")),
        reference=Reference.parse("nginx:1.27"),
        digest=DIGEST,
        platform=platform,
    )
    return UpdateCommand(id=UUID(int=1), targets=(target,), policy=Policy(), pull_ids={pull_key(target): UUID(int=3)})


@pytest.mark.parametrize("platform", [None, Platform("linux", "arm", "v7")])
def test_a_command_comes_out_of_its_order_as_it_went_in(platform: Platform | None) -> None:
    read = Order.model_validate_json(Order.of(command(platform)).model_dump_json())
    assert read.update_command() == command(platform)


def test_a_platform_is_named_only_where_there_is_one_since_older_agents_refuse_fields_they_do_not_know() -> None:
    (own,) = Order.of(command(None)).model_dump()["targets"]
    (foreign,) = Order.of(command(Platform("linux", "arm64"))).model_dump()["targets"]
    assert "platform" not in own
    assert foreign["platform"] == "linux/arm64"


def test_a_platform_that_is_none_is_refused() -> None:
    order = Order.of(command(Platform("linux", "arm64")))
    broken = order.targets[0].model_copy(update={"platform": "arm64"})
    with pytest.raises(BadInput, match="cannot use 'arm64' as a platform"):
        order.model_copy(update={"targets": (broken,)}).update_command()


@pytest.mark.parametrize("platform", [None, Platform("linux", "arm64")])
def test_a_pull_is_known_by_repository_and_digest_whatever_its_platform(platform: Platform | None) -> None:
    (key,) = command(platform).pull_ids
    assert split_pull_key(key) == ("docker.io/library/nginx", str(DIGEST))
