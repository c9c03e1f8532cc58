"""The types of columns, the same on both databases, and the one MetaData that every table belongs to."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from fleet.ids import of_number

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcTime(TypeDecorator[datetime]):
    """An instant, in UTC; a time without a zone is refused. SQLite hands times back without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Write an aware time as UTC."""
        if value is None:
            return None
        moment = _utc(value)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read a time as aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        """Write at once what the two steps of a type like this one write: each row has some times."""
        return _time_as_text if dialect.name == "sqlite" else _utc_or_none

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        """Read at once, as it is written."""
        return _time_of_text if dialect.name == "sqlite" else _utc_or_none


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"cannot write {value!r}: it has no time zone")
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _utc_or_none(value: datetime | None) -> datetime | None:
    return None if value is None else _utc(value)


# A batch writes one moment into all of its rows, and reads few into them.
@lru_cache(maxsize=1024)
def _time_as_text(value: datetime | None) -> str | None:
    return None if value is None else _utc(value).isoformat(" ", "microseconds")[:_WITHOUT_ZONE]


@lru_cache(maxsize=8192)
def _time_of_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


_WITHOUT_ZONE = len("2000-01-01 00:00:00.000000")


class Words(TypeDecorator[StrEnum]):
    """One member of a closed set, stored as its text."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        """Write a member; a text that is none raises ValueError."""
        return None if value is None else self.words(value).value

    def bind_processor(self, dialect: Dialect) -> Callable[[StrEnum | str | None], str | None]:
        """Write a member by a table: an enum's own call takes as long as all else that is done to a value."""
        texts: dict[StrEnum | str | None, str | None] = {None: None} | {word: word.value for word in self.words}
        words = self.words
        return lambda value: texts[value] if value in texts else words(value or "").value

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], StrEnum | None]:
        """Read a member by a table."""
        members: dict[str | None, StrEnum | None] = {None: None} | {word.value: word for word in self.words}
        words = self.words
        return lambda value: members[value] if value in members else words(value or "")


class Items(TypeDecorator[tuple[Any, ...]]):
    """A tuple, stored as a JSON list."""

    impl = JSON().with_variant(JSONB(), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> list[Any] | None:
        """Write any sequence as a list."""
        return None if value is None else list(value)

    def process_result_value(self, value: list[Any] | None, dialect: Dialect) -> tuple[Any, ...] | None:
        """Read a tuple."""
        return None if value is None else tuple(value)


DOCUMENT = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
"""A JSON object."""


class Id(Uuid[UUID]):
    """A UUID. SQLite hands it back as text, of which one and the same comes again and again: rows tell whose they are."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], UUID | None] | None:
        """Read a text that was read lately by a table."""
        if dialect.name == "sqlite":
            return _uuid_of_text
        return super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call,no-any-return]


@lru_cache(maxsize=8192)
def _uuid_of_text(value: str | None) -> UUID | None:
    return None if value is None else of_number(int(value, 16))


def uid(name: str, comment: str, *constraints: Any, nullable: bool = False, primary_key: bool = False) -> Column[Any]:
    """Return a column that holds a UUID."""
    return Column(name, Id(), *constraints, primary_key=primary_key, nullable=nullable, comment=comment)


def text(name: str, comment: str, *constraints: Any, nullable: bool = False, primary_key: bool = False) -> Column[Any]:
    """Return a column of text; empty means that there is none, unless it is nullable."""
    return Column(name, Text(), *constraints, primary_key=primary_key, nullable=nullable, comment=comment)


def number(name: str, comment: str, *, nullable: bool = False, primary_key: bool = False) -> Column[Any]:
    """Return a column of 32-bit integers."""
    return Column(name, Integer(), primary_key=primary_key, nullable=nullable, comment=comment, autoincrement=False)


def big(name: str, comment: str, *, nullable: bool = False) -> Column[Any]:
    """Return a column of 64-bit integers: ``_ms`` and ``_bytes``."""
    return Column(name, BigInteger(), nullable=nullable, comment=comment)


def flag(name: str, comment: str, *, nullable: bool = False) -> Column[Any]:
    """Return a column of yes or no."""
    return Column(name, Boolean(), nullable=nullable, comment=comment)


def time(name: str, comment: str, *, nullable: bool = False) -> Column[Any]:
    """Return a column of instants, UTC."""
    return Column(name, UtcTime(), nullable=nullable, comment=comment)


def document(name: str, comment: str, *, nullable: bool = False) -> Column[Any]:
    """Return a column that holds a JSON object."""
    return Column(name, DOCUMENT, nullable=nullable, comment=comment)


def items(name: str, comment: str, *, nullable: bool = False) -> Column[Any]:
    """Return a column that holds a JSON list, read as a tuple."""
    return Column(name, Items(), nullable=nullable, comment=comment)


def words(name: str, enum: type[StrEnum], comment: str, *, primary_key: bool = False) -> Column[Any]:
    """Return a column of one closed set."""
    return Column(name, Words(enum), primary_key=primary_key, nullable=False, comment=comment)
