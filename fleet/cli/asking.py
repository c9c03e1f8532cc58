"""Queries as they are typed: taken from the words of the command line, and read before anything is sent."""

import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

import click

from fleet.cli.console import say
from fleet.cli.session import Leaf


class Asking(Leaf):
    """A command that takes a query: a term with a minus is no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the terms with a minus behind the options."""
        terms = [word for word in args if _NEGATED.match(word)]
        if terms and "--" not in args:
            args = [*(word for word in args if word not in terms), "--", *terms]
        return super().parse_args(ctx, args)


class ThisMachine(tzinfo):
    """The zone of this machine, in summer and in winter: what Python makes of one moment knows that moment's offset alone."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Return the offset that holds at *moment*."""
        return moment.replace(tzinfo=None).astimezone().utcoffset() if moment is not None else None

    def dst(self, _: datetime | None) -> timedelta | None:
        """Return None: how much of the offset is summer's is not known."""
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        """Return what the system calls it."""
        return moment.replace(tzinfo=None).astimezone().tzname() if moment is not None else None

    def fromutc(self, moment: datetime) -> datetime:
        """Return what clocks here show at an instant."""
        return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)


_TERM = re.compile(r'[a-z]+:|"|.*\s')
_NEGATED = re.compile(r'-(?:[a-z]{2,}:|")')


def is_term(word: str) -> bool:
    """Tell whether *word* is part of a query, where a command could stand as well."""
    return _TERM.match(word) is not None


def understood(words: tuple[str, ...]) -> str | None:
    """Return the query that was typed, its local times made instants; point at a mistake on a terminal."""
    from fleet.history.questions.language import BadQuery
    from fleet.history.questions.language_parse import parse
    from fleet.history.questions.language_times import localized

    text = " ".join(words)
    try:
        query = parse(text)
    except BadQuery as error:
        if sys.stderr.isatty():
            say(error.pointer)
        raise
    now, here = datetime.now(UTC), ThisMachine()
    terms = (replace(t, when=localized(t.when, now, here)) if t.when else t for t in query.terms)
    return str(replace(query, terms=tuple(terms))) or None


def instant(text: str) -> str:
    """Return a time as the server shall read it: local ones as instants."""
    query = understood((f"since:{text}",)) if text else None
    return query.removeprefix("since:") if query else ""
