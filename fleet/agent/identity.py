"""Who this host is: by its join file at first, then by a key and a password that were made here and never left it.

A join file travels, by copy and by mail, so what it holds is good for one contact. The host makes a key and a password
in its place, writes them down as the *next* ones, tells the centre, and takes them once the broker lets them in. One
file is written before the centre hears of them and renamed before they are first used, so that whatever moment the
process ends at, the next one finds a pair that the centre takes.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fleet.errors import BadInput
from fleet.road.join import JoinFile
from fleet.road.keys import SigningKey, read_private, write_private
from fleet.updates.files import sync_folder

OWN, NEXT = "identity.json", "identity.next.json"
"""In the state directory, mode 0600: the pair that holds, and the one that the centre may not have taken yet."""
PASSWORD_BYTES = 32


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    v: int = 1
    replaces: str
    """The kid of the join file's key."""
    identity: str
    """The text of a join file that has the key and the password in place of what it replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    replaces: str
    join: JoinFile


class Identity:
    """The host's present key and login, and those that follow; changed by one thread."""

    def __init__(self, state: Path, join: JoinFile | None) -> None:
        """Take up what an earlier agent wrote into *state* in place of *join*, which is None where the file is gone.

        Raise BadInput where it cannot be read, or where there is nothing. A join file that was not seen before is one
        of another host, or a new one of this: then what it says holds, until it too was replaced.
        """
        self._state = state
        own, following = _read(state / OWN), _read_or_none(state / NEXT)
        if join is None:
            kept = own or following
            if kept is None:
                raise BadInput(f"cannot tell who this host is: {state} holds no identity; name a join file with --join")
            self.current, self.own, self.next = kept.join, True, None
        elif own is not None and own.replaces == join.key.kid:
            self.current, self.own, self.next = _where(own.join, join), True, None
        else:
            mine = following is not None and following.replaces == join.key.kid
            self.current, self.own = join, False
            self.next = _where(following.join, join) if following and mine else None
        self.host_id = self.current.host_id

    current: JoinFile
    """What this host signs and logs in with."""
    own: bool
    """Whether that was made here; then the centre reads version 2 of messages, since it took it."""
    next: JoinFile | None
    """What was made here and is not known to be taken yet."""

    def follow(self) -> JoinFile:
        """Return the next key and login, on the disk before anybody hears of them; raise OSError where it is full."""
        if self.next is None:
            made = self.current.with_own(SigningKey.generate(), secrets.token_urlsafe(PASSWORD_BYTES))
            form = _Form(replaces=self.current.key.kid, identity=made.text())
            write_private(self._state / NEXT, form.model_dump_json(indent=2) + "\n")
            self.next = made
        return self.next

    def take(self) -> JoinFile:
        """Be the next one from now on, and after every start; raise OSError where that cannot be written down."""
        taken = self.follow()
        (self._state / NEXT).replace(self._state / OWN)
        sync_folder(self._state)
        self.current, self.own, self.next = taken, True, None
        return taken


def known(state: Path) -> bool:
    """Tell whether an agent wrote down in *state* who its host is."""
    return (state / OWN).exists() or (state / NEXT).exists()


def _where(kept: JoinFile, join: JoinFile) -> JoinFile:
    """Return *kept* with the places and keys of the centre as *join* has them, for it may have been corrected since."""
    return join.with_own(kept.key, kept.broker.password)


def _read(file: Path) -> _Kept | None:
    """Return what *file* holds, None where there is none; raise BadInput, which never quotes it."""
    if not file.exists():
        return None
    try:
        form = _Form.model_validate_json(read_private(file))
    except ValidationError:
        raise BadInput(
            f"cannot read {file}: it was damaged; make a new join file at the centre with: fleet host rejoin NAME,"
            " and move this one away"
        ) from None
    return _Kept(replaces=form.replaces, join=JoinFile.parse(form.identity, str(file)))


def _read_or_none(file: Path) -> _Kept | None:
    """Return what *file* holds; None also where it is damaged, since nobody is it yet and another can be made."""
    try:
        return _read(file)
    except BadInput:
        return None
