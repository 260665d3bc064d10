"""What the stand-in of the Here to Help API keeps, in SQLite: residents, help requests, case notes.

Each statement is a transaction of its own, as there: a request that ends half-way leaves what it did.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import orjson

from pipelines.sandbox.here_to_help.fields import REQUEST, RESIDENT
from pipelines.sandbox.here_to_help.rules import Fields, Keys, Marks, as_glob, as_jsonb, is_plain, keys_of, marks_of

_TABLES = """
create table if not exists residents (
    id integer primary key, fields text not null,
    nhs text, name text, uprn text, dob text, email text, mobile text, telephone text
);
create table if not exists help_requests (
    id integer primary key, resident_id integer not null references residents, fields text not null, metadata text,
    ctas_key text, ctas text, need text, nsss text, spl text, generic text
);
create table if not exists case_notes (
    id integer primary key, resident_id integer not null references residents,
    help_request_id integer not null references help_requests, case_note text
);
create index if not exists residents_nhs on residents (nhs) where nhs is not null;
create index if not exists residents_uprn on residents (name, uprn) where uprn is not null;
create index if not exists residents_dob on residents (name, dob) where dob is not null;
create index if not exists residents_email on residents (name, email) where email is not null;
create index if not exists residents_mobile on residents (name, mobile) where mobile is not null;
create index if not exists residents_telephone on residents (name, telephone) where telephone is not null;
create index if not exists help_requests_resident on help_requests (resident_id);
create index if not exists help_requests_ctas_key on help_requests (ctas_key) where ctas_key is not null;
create index if not exists help_requests_ctas on help_requests (ctas, need) where ctas is not null;
create index if not exists help_requests_nsss on help_requests (nsss) where nsss is not null;
create index if not exists help_requests_spl on help_requests (spl) where spl is not null;
create index if not exists help_requests_generic on help_requests (generic) where generic is not null;
create index if not exists case_notes_help_request on case_notes (help_request_id);
"""
_RESIDENT_RULES = {
    "nhs": "nhs = :nhs",
    "uprn": "name = :name and uprn = :uprn",
    "dob": "name = :name and dob = :dob",
    "ctas": "name = :name and id in (select resident_id from help_requests where ctas_key = :ctas)",
    "email": "name = :name and email = :email",
    "mobile": "name = :name and (mobile = :mobile or telephone = :mobile)",
    "telephone": "name = :name and (telephone = :telephone or mobile = :telephone)",
}
_REQUEST_FIELDS = REQUEST - RESIDENT - {"CaseNotes", "Metadata"}


@dataclass(frozen=True, slots=True)
class Resident:
    """A resident as it is stored."""

    id: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class HelpRequest:
    """A help request as it is stored; ``fields`` has its resident's, and the notes joined as the API joins them."""

    id: int
    resident_id: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each there are."""

    residents: int
    help_requests: int
    case_notes: int


class Store:
    """The tables, in one file of a folder. Other threads than its own may use only ``count`` and ``digest``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / "here-to-help.db"
        self._path.touch(mode=0o600)
        self._database = sqlite3.connect(self._path, isolation_level=None)
        # No wait for the disk: what is stored is to outlive this process, not this machine.
        self._database.executescript(
            "pragma journal_mode = wal; pragma synchronous = off; pragma foreign_keys = on;" + _TABLES
        )

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def find_resident(self, keys: Keys) -> Resident | None:
        """The first resident by the first rule that finds one."""
        values = asdict(keys)
        for rule, condition in _RESIDENT_RULES.items():
            if values[rule] is not None:  # and without a name no rule but the first finds anybody
                query = f"select id, fields from residents where {condition} order by id limit 1"  # noqa: S608 (our own words)
                found = self._database.execute(query, values).fetchone()
                if found:
                    return Resident(found[0], orjson.loads(found[1]))
        return None

    def insert_resident(self, fields: Fields) -> int:
        """Adds a resident and gives its id."""
        return self._insert(
            "insert into residents (fields, nhs, name, uprn, dob, email, mobile, telephone) "
            "values (?, ?, ?, ?, ?, ?, ?, ?)",
            *_resident_row(fields),
        )

    def update_resident(self, resident_id: int, fields: Fields) -> None:
        """Replaces a resident's fields."""
        self._database.execute(
            "update residents set (fields, nhs, name, uprn, dob, email, mobile, telephone) "
            "= (?, ?, ?, ?, ?, ?, ?, ?) where id = ?",
            (*_resident_row(fields), resident_id),
        )

    def find_request(self, marks: Marks, resident_id: int) -> int | None:
        """The id of the first help request by the first mark that finds one.

        Raises:
            ValueError: a mark is a pattern that the API can't read, or a CTAS id has no help needed beside it.
        """
        if marks.ctas is not None:
            if marks.need is None:
                raise ValueError("HelpNeeded is null")
            found = self._first("ctas = ? and need = ?", marks.ctas, marks.need)
            if found:
                return found
        for column, pattern in (("nsss", marks.nsss), ("spl", marks.spl)):
            found = None if pattern is None else self._first(*_like(column, pattern))
            if found:
                return found
        if marks.generic is None:
            return None
        condition, generic = _like("generic", marks.generic)
        return self._first(f"{condition} and resident_id = ?", generic, resident_id)

    def insert_request(self, resident_id: int, fields: Fields) -> int:
        """Adds a help request and gives its id.

        Raises:
            sqlite3.IntegrityError: there is no such resident.
        """
        own = {name: value for name, value in fields.items() if name in _REQUEST_FIELDS}
        metadata = fields.get("Metadata")
        return self._insert(
            "insert into help_requests "
            "(resident_id, fields, metadata, ctas_key, ctas, need, nsss, spl, generic) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            resident_id,
            orjson.dumps(own).decode(),
            None if metadata is None else as_jsonb(metadata),
            keys_of(fields).ctas,
            *astuple(marks_of(fields)),
        )

    def insert_note(self, resident_id: int, help_request_id: int, text: str | None) -> int:
        """Adds a case note and gives its id.

        Raises:
            sqlite3.IntegrityError: there is no such resident or no such help request.
        """
        return self._insert(
            "insert into case_notes (resident_id, help_request_id, case_note) values (?, ?, ?)",
            resident_id,
            help_request_id,
            text,
        )

    def request(self, request_id: int) -> HelpRequest | None:
        """One help request."""
        return next(self._requests("help_requests.id = ?", request_id), None)

    def requests_of(self, resident_id: int) -> list[HelpRequest]:
        """All help requests of one resident, oldest first."""
        return list(self._requests("resident_id = ?", resident_id))

    def count(self) -> Counts:
        """How many of each there are now."""
        with closing(sqlite3.connect(self._path)) as reader:
            tables = ("residents", "help_requests", "case_notes")
            return Counts(*(reader.execute(f"select count(*) from {table}").fetchone()[0] for table in tables))  # noqa: S608 (our own words)

    def digest(self, note: Callable[[str], str] = str) -> str:
        """A sha256 in hex of all that is stored; see ``contents``."""
        return hashlib.sha256(orjson.dumps(self.contents(note))).hexdigest()

    def contents(self, note: Callable[[str], str] = str) -> list[Any]:
        """All that is stored, the same whatever ids it got and in whatever order it came.

        Args:
            note: what of a note's text counts, for notes that hold when they were written.

        Returns:
            For each resident its fields and its requests, for each of these its fields, its metadata and its notes,
            for each of these the resident that it is of, and its text. Fields are in JSON, without ``DateTimeRecorded``
            and what is null.
        """
        with closing(sqlite3.connect(self._path)) as reader:
            reader.execute("begin")
            residents = dict(reader.execute("select id, fields from residents"))
            requests = reader.execute("select id, resident_id, fields, metadata from help_requests").fetchall()
            notes = reader.execute("select resident_id, help_request_id, case_note from case_notes").fetchall()
        of_request, of_resident = defaultdict(list), defaultdict(list)
        names = {each: _canonical(fields) for each, fields in residents.items()}
        for resident_id, request_id, text in notes:
            of_request[request_id].append([names[resident_id], None if text is None else note(text)])
        for request_id, resident_id, fields, metadata in requests:
            own = sorted(of_request[request_id], key=orjson.dumps)
            of_resident[resident_id].append([_canonical(fields), metadata, own])
        state = [[names[each], sorted(of_resident[each], key=orjson.dumps)] for each in residents]
        return sorted(state, key=orjson.dumps)

    def _insert(self, statement: str, *values: object) -> int:
        return int(self._database.execute(statement, values).lastrowid or 0)

    def _first(self, condition: str, *values: object) -> int | None:
        query = f"select id from help_requests where {condition} order by id limit 1"  # noqa: S608 (our own words)
        found = self._database.execute(query, values).fetchone()
        return found and int(found[0])

    def _requests(self, condition: str, value: int) -> Iterator[HelpRequest]:
        query = (
            "select help_requests.id, resident_id, help_requests.fields, residents.fields, metadata "  # noqa: S608 (our own words)
            "from help_requests join residents on residents.id = resident_id "
            f"where {condition} order by help_requests.id"
        )
        for request_id, resident_id, fields, resident, metadata in self._database.execute(query, (value,)).fetchall():
            notes = self._database.execute(
                "select case_note from case_notes where help_request_id = ? order by id", (request_id,)
            )
            joined = {"CaseNotes": f"[{', '.join(text or '' for (text,) in notes)}]", "Metadata": metadata}
            yield HelpRequest(request_id, resident_id, orjson.loads(resident) | orjson.loads(fields) | joined)


def _resident_row(fields: Fields) -> tuple[str | None, ...]:
    own = {name: value for name, value in fields.items() if name in RESIDENT}
    keys = keys_of(own)
    text = orjson.dumps(own).decode()
    return text, keys.nhs, keys.name, keys.uprn, keys.dob, keys.email, keys.mobile, keys.telephone


def _like(column: str, pattern: str) -> tuple[str, str]:
    return (f"{column} = ?", pattern) if is_plain(pattern) else (f"{column} glob ?", as_glob(pattern))


def _canonical(fields: str) -> str:
    kept = {
        name: value for name, value in orjson.loads(fields).items() if name != "DateTimeRecorded" and value is not None
    }
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()
