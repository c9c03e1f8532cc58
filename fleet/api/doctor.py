"""What is wrong, why, and what to do about it."""

from enum import StrEnum

from fleet.api.form import Answer, Part


class Grade(StrEnum):
    """How one check ended."""

    PASS = "PASS"  # noqa: S105
    """As it should be."""
    WARN = "WARN"
    """Works, and a person should look."""
    FAIL = "FAIL"
    """Does not work."""
    SKIP = "SKIP"
    """Could not be looked at, since something before it failed."""


class Check(Part):
    """One thing that was looked at."""

    id: str
    """The same in every version: ``database``, ``broker``, ``beat``, ``host.silent``."""
    grade: Grade
    text: str
    """What was found."""
    cause: str = ""
    fix: str = ""
    """The exact command, where there is one."""
    subject: str = ""
    """The host or mirror that it is about; empty: the centre."""
    absent: bool = False
    """Whether it is a condition that was looked for and is not there."""


class Diagnosis(Answer):
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def failed(self) -> bool:
        """Whether anything does not work."""
        return any(check.grade is Grade.FAIL for check in self.checks)


class Health(Answer):
    """The server lives and can read its database."""

    status: str = "ok"
    version: str
