"""The rows of a rollout's hosts, made from its plan: as many as the fleet has hosts, so nothing is made of a row but itself."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import chain, count
from uuid import UUID

from sqlalchemy import Connection, Text, cast, column, insert, literal, select, text

from fleet.history.by_column import writer
from fleet.history.rollout_tables import rollout_hosts as table
from fleet.history.wave_hosts import host_row
from fleet.rollouts.plan import Pin, PlannedHosts

_NOT_PINNED = ("back", "configuration")
"""What of a plan's pin a rollout does not need."""

_Row = tuple[str, int, int, str]
"""What of a row is the host's own: its id in hex, its wave, its position, and its targets as JSON."""
_OWN = ("host_id", "wave", "position", "targets")

_AT_ONCE = 10_000
"""So many rows go to PostgreSQL with one statement: some megabytes, or some dozen where hosts have many containers."""


def write_hosts(
    connection: Connection, rollout_id: UUID, hosts: PlannedHosts, waves: Sequence[Sequence[int]], now: datetime
) -> None:
    """Write the rows of a new rollout: of each wave the *hosts* at these places, in this order."""
    rows = _rows(hosts, waves)
    row = host_row(rollout_id, rollout_id, 0, 0, (), now)
    alike = {name: value for name, value in row.items() if name not in _OWN}
    write = _write_lists if connection.dialect.name == "postgresql" else _write_placed
    write(connection, rows, alike)


def _rows(hosts: PlannedHosts, waves: Sequence[Sequence[int]]) -> list[_Row]:
    """Return the rows by the hosts' ids, as most indexes have them: an index takes in half the time what comes in its order."""
    wave_of, position_of, places = [0] * len(hosts), [0] * len(hosts), count()
    for number, wave in enumerate(waves):
        for at in wave:
            wave_of[at], position_of[at] = number, next(places)
    columns = (hosts.ids, wave_of, position_of, list(_targets(hosts)))
    by_id = sorted(chain.from_iterable(waves), key=hosts.ids.__getitem__)
    return list(zip(*(map(column.__getitem__, by_id) for column in columns), strict=True))


def _targets(hosts: PlannedHosts) -> Iterator[str]:
    """Yield of each host its targets, as JSON: the same text for hosts of one shape, but for the ids in it."""
    rests = [[_rest(hosts.pins[pin]) for pin in shape.pins] for shape in hosts.shapes]
    ids = map(json.encoder.encode_basestring_ascii, hosts.container_ids)
    for place in hosts.shape_of:
        told = [f'{{"container_id": {id}, {rest}' for rest, id in zip(rests[place], ids, strict=False)]
        yield f"[{', '.join(told)}]"


def _rest(pin: Pin) -> str:
    """Return a target as JSON, from behind the container's id on."""
    return json.dumps({name: value for name, value in asdict(pin).items() if name not in _NOT_PINNED})[1:]


def _write_placed(connection: Connection, rows: Sequence[_Row], alike: dict[str, object]) -> None:
    """Write on SQLite: by one statement over a table of their own, since one that is begun for each row takes twice as long."""
    connection.exec_driver_sql(f"CREATE TEMP TABLE placed ({', '.join(_OWN)})")
    connection.exec_driver_sql("INSERT INTO placed VALUES (?, ?, ?, ?)", list(rows))
    writers = {name: writer(table, name, connection.dialect) for name in alike}
    same = [write(value) if (write := writers[name]) else value for name, value in alike.items()]
    marks = ", ".join("?" * len(same))
    names = ", ".join((*_OWN, *alike))
    copied = f"INSERT INTO {table.name} ({names}) SELECT {', '.join(_OWN)}, {marks} FROM placed"  # noqa: S608 # our own
    connection.exec_driver_sql(copied, tuple(same))
    connection.exec_driver_sql("DROP TABLE temp.placed")


def _write_lists(connection: Connection, rows: Sequence[_Row], alike: dict[str, object]) -> None:
    """Write on PostgreSQL, which takes a list of each column apart by itself."""
    lists = ", ".join(f"string_to_table(:{name}, E'\\n')" for name in _OWN)
    listed = text(f"ROWS FROM ({lists}) AS listed({', '.join(_OWN)})")
    own = [cast(column(name, Text), table.c[name].type) for name in _OWN]
    same = [literal(value, table.c[name].type) for name, value in alike.items()]
    statement = insert(table).from_select([*_OWN, *alike], select(*own, *same).select_from(listed))
    for begin in range(0, len(rows), _AT_ONCE):
        columns = zip(*rows[begin : begin + _AT_ONCE], strict=True)
        told = {name: "\n".join(map(str, values)) for name, values in zip(_OWN, columns, strict=True)}
        connection.execute(statement, told)
