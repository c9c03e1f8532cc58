"""The rows of a rollout's hosts, made from its plan: as many as the fleet has hosts, so nothing is made of a row but itself."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain, count, islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, cast, column, insert, literal, select, text

from fleet.history.rollouts.wave_hosts import host_row
from fleet.history.sql.by_column import writer
from fleet.history.sql.upsert import insert_rows
from fleet.history.tables.rollouts import rollout_hosts as table
from fleet.history.tables.rollouts import rollout_shapes
from fleet.rollouts.plan import Pin, PlannedHosts

_NOT_PINNED = ("back", "configuration")
"""What of a plan's pin a rollout does not need."""

_OWN = ("host_id", "wave", "position", "shape", "targets")
"""What of a row is the host's own: its id in hex, its wave, its position, its shape or None, and its targets as JSON."""
_Columns = tuple[Sequence[Any], ...]
"""These of all rows, each as a list."""

_AT_ONCE = 10_000
"""So many rows go to PostgreSQL with one statement: some megabytes, or some dozen where hosts have many containers."""


def write_hosts(
    connection: Connection, rollout_id: UUID, hosts: PlannedHosts, waves: Sequence[Sequence[int]], now: datetime
) -> None:
    """Write the rows of a new rollout: of each wave the *hosts* at these places, in this order."""
    shapes = _shapes(hosts)
    insert_rows(connection, rollout_shapes, [{"rollout_id": rollout_id, **shape} for shape in _told(shapes)])
    columns = _columns(hosts, waves, shapes)
    row = host_row(rollout_id, rollout_id, 0, 0, (), now)
    alike = {name: value for name, value in row.items() if name not in _OWN}
    write = _write_lists if connection.dialect.name == "postgresql" else _write_placed
    write(connection, columns, alike)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What a plan pins for hosts alike."""

    rests: tuple[str, ...]
    """Of each container its target as JSON, from behind the container's id on."""
    number: int | None
    """None: one host alone has it, in whose row it stands."""


def _shapes(hosts: PlannedHosts) -> list[_Shape]:
    """Return what the shapes of *hosts* are to a rollout: some of a plan differ in what no rollout needs."""
    rests = [_rest(pin) for pin in hosts.pins]
    told = [tuple(rests[pin] for pin in shape.pins) for shape in hosts.shapes]
    have: Counter[tuple[str, ...]] = Counter()
    for place, having in Counter(hosts.shape_of).items():
        have[told[place]] += having
    numbers = {each: number for number, each in enumerate(each for each, having in have.items() if having > 1)}
    return [_Shape(rests=each, number=numbers.get(each)) for each in told]


def _told(shapes: Iterable[_Shape]) -> Iterator[dict[str, Any]]:
    """Yield the number and the pins of each shape, once."""
    for number, rests in {shape.number: shape.rests for shape in shapes if shape.number is not None}.items():
        yield {"number": number, "pins": [json.loads("{" + rest) for rest in rests]}


def _columns(hosts: PlannedHosts, waves: Sequence[Sequence[int]], shapes: Sequence[_Shape]) -> _Columns:
    """Return the rows in the order of their turn: those that will be written again together lie on few pages."""
    wave_of, position_of, places = [0] * len(hosts), [0] * len(hosts), count()
    for number, wave in enumerate(waves):
        for at in wave:
            wave_of[at], position_of[at] = number, next(places)
    numbers = [shapes[place].number for place in hosts.shape_of]
    columns = (hosts.ids, wave_of, position_of, numbers, list(_targets(hosts, shapes)))
    in_turn = list(chain.from_iterable(waves))
    return tuple(list(map(column.__getitem__, in_turn)) for column in columns)


def _targets(hosts: PlannedHosts, shapes: Sequence[_Shape]) -> Iterator[str]:
    """Yield of each host its targets, as JSON: where it has a shape, the ids of its containers."""
    ids = map(json.encoder.encode_basestring_ascii, hosts.container_ids)
    for place in hosts.shape_of:
        shape = shapes[place]
        if shape.number is None:
            told = [f'{{"container_id": {id}, {rest}' for rest, id in zip(shape.rests, ids, strict=False)]
        else:
            told = list(islice(ids, len(shape.rests)))
        yield f"[{', '.join(told)}]"


def _rest(pin: Pin) -> str:
    """Return a target as JSON, from behind the container's id on."""
    return json.dumps({name: value for name, value in asdict(pin).items() if name not in _NOT_PINNED})[1:]


def _write_placed(connection: Connection, columns: _Columns, alike: dict[str, object]) -> None:
    """Write on SQLite: by one statement over a table of their own, since one that is begun for each row takes twice as long."""
    connection.exec_driver_sql(f"CREATE TEMP TABLE placed ({', '.join(_OWN)})")
    connection.exec_driver_sql("INSERT INTO placed VALUES (?, ?, ?, ?, ?)", list(zip(*columns, strict=True)))
    writers = {name: writer(table, name, connection.dialect) for name in alike}
    same = [write(value) if (write := writers[name]) else value for name, value in alike.items()]
    marks = ", ".join("?" * len(same))
    names = ", ".join((*_OWN, *alike))
    copied = f"INSERT INTO {table.name} ({names}) SELECT {', '.join(_OWN)}, {marks} FROM placed"  # noqa: S608 # our own
    connection.exec_driver_sql(copied, tuple(same))
    connection.exec_driver_sql("DROP TABLE temp.placed")


def _write_lists(connection: Connection, columns: _Columns, alike: dict[str, object]) -> None:
    """Write on PostgreSQL, which takes a list of each column apart by itself; nothing stands for null."""
    lists = ", ".join(f"string_to_table(:{name}, E'\\n', '')" for name in _OWN)
    listed = text(f"ROWS FROM ({lists}) AS listed({', '.join(_OWN)})")
    own = [cast(column(name, Text), table.c[name].type) for name in _OWN]
    same = [literal(value, table.c[name].type) for name, value in alike.items()]
    statement = insert(table).from_select([*_OWN, *alike], select(*own, *same).select_from(listed))
    for begin in range(0, len(columns[0]), _AT_ONCE):
        some = zip(_OWN, (each[begin : begin + _AT_ONCE] for each in columns), strict=True)
        connection.execute(statement, {name: "\n".join(_texts(values)) for name, values in some})


def _texts(values: Sequence[Any]) -> Iterable[str]:
    """Return the values of a column as texts; of one that has numbers few differ."""
    if isinstance(values[0], str):
        return values
    told = {value: "" if value is None else str(value) for value in set(values)}
    return map(told.__getitem__, values)
