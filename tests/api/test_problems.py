"""Errors as problem details, there and back."""

import pytest

from fleet import errors
from fleet.api.problems import TYPE_PREFIX, Problem, make_problem, problem_of
from fleet.errors import FleetError

KINDS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FleetError)),
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_comes_back_as_itself(kind: type[FleetError]) -> None:
    """What the server raised is what the client raises: same kind, same exit code, same words."""
    problem = Problem.model_validate_json(problem_of(kind("cannot do it; try that")).model_dump_json())
    error = problem.error()
    assert type(error) is kind
    assert str(error) == "cannot do it; try that"
    assert error.exit_code == kind.exit_code


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_problem_has_a_type_a_code_and_an_error_status(kind: type[FleetError]) -> None:
    problem = problem_of(kind())
    assert problem.type == TYPE_PREFIX + problem.code
    assert 400 <= problem.status < 600
    assert problem.title
    assert problem.detail.startswith("cannot")


def test_a_code_of_a_later_version_is_an_error_all_the_same() -> None:
    error = make_problem("not-thought-of-yet", 418, "cannot brew").error()
    assert type(error) is FleetError
    assert str(error) == "cannot brew"


def test_a_later_code_with_status_403_asks_for_credentials() -> None:
    assert isinstance(make_problem("scope-too-small", 403, "cannot").error(), errors.AuthNeeded)


def test_a_detail_of_others_is_made_to_begin_with_cannot() -> None:
    assert str(make_problem("failed", 500, "Oops").error()) == "cannot do that: Oops"


def test_temporary_is_told() -> None:
    assert problem_of(errors.DatabaseUnreachable()).temporary
    assert not problem_of(errors.NotFound()).temporary
