"""Calls that are kept as text (inbox, quarantine) and files of rejected lines: whose they are can only be read out of the words."""

from __future__ import annotations

import csv
import re
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import phonenumbers
from sqlalchemy import Column, Table, select
from sqlalchemy.orm import Session

from crm.core.json import dumps
from crm.events.read import identities_of
from crm.events.spec import Call

_decode = msgspec.json.Decoder(Call).decode
DEVICE = "anonymous_id"
PHONES = ("phone", "wa_id")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)  # damaged in the middle, cut off, locked by a password
csv.field_size_limit(1 << 24)


@dataclass(frozen=True, slots=True)
class Words:
    """How a person may be written: ids of profiles, identities, one pattern that finds any of them in a text, and one for their addresses alone."""

    ids: frozenset[str]
    identities: frozenset[tuple[str, str]]
    pattern: str
    addresses: str

    @classmethod
    def of(cls, ids: Iterable[uuid.UUID], identities: Iterable[tuple[str, str]]) -> Words:
        """Patterns are read alike by Python and PostgreSQL; letters match in either case."""
        known, own = frozenset(identities), frozenset(str(one) for one in ids)
        phones = {_digits(value) for kind, value in known if kind in PHONES}
        addresses = _pattern({value for kind, value in known if kind in {"email", *PHONES}}, phones)
        return cls(own, known, _pattern({*own, *(value for _, value in known)}, phones), addresses)

    def mean(self, body: str, *, trusted: bool = True) -> bool:
        """Whether a call's text is about the person; one that cannot be read is where it names them at all, one about nobody where it has their address."""
        try:
            call = _decode(body)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return re.search(self.pattern, body, re.IGNORECASE) is not None
        said = [(i.kind, i.value) for i in identities_of(call, trusted=trusted)]
        if not said and call.profile_id is None:
            return re.search(self.addresses, body, re.IGNORECASE) is not None
        return call.profile_id in self.ids or is_of(said, self.identities)


def _pattern(values: Iterable[str], phones: Iterable[str]) -> str:
    spelt = sorted({re.escape(form) for value in values for form in (value, dumps(value)[1:-1], ascii(value)[1:-1])})
    return "|".join([*([rf"(?<![0-9A-Za-z_])({'|'.join(spelt)})(?![0-9A-Za-z_])"] if spelt else ()), *sorted(phones)]) or "(?!)"


def is_of(carried: Iterable[tuple[str, str]], known: frozenset[tuple[str, str]] | set[tuple[str, str]]) -> bool:
    """Whether a call with these identities is about whoever has the known ones: what tells persons apart counts before a device."""
    said = list(carried)
    strong = [one for one in said if one[0] != DEVICE]
    return any(one in known for one in strong or said)


def theirs(session: Session, table: Table, body: Column[Any], words: Words) -> list[int]:
    """Ids of the rows whose call is about the person. PostgreSQL reads every kept text for the pattern, we read what it finds."""
    found = session.execute(select(table.c.id, table.c.trusted, body).where(body.op("~*")(words.pattern)))
    return [number for number, trusted, text in found if words.mean(text, trusted=trusted)]


def clean_files(folder: Path, words: Words) -> int:
    """Take the lines that name the person out of every CSV or text file below `folder`; other files that name them in readable words go whole,
    and so does a workbook that cannot be read, since nobody can say whom it names.

    Returns how many lines or files that was. A file is replaced whole or stays as it was.
    """
    if not folder.is_dir():
        return 0
    pattern = re.compile(words.pattern, re.IGNORECASE)
    return sum(_clean(file, pattern) for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink())


def _clean(file: Path, pattern: re.Pattern[str]) -> int:
    if file.suffix.lower() not in {".csv", ".txt", ".jsonl", ".ndjson", ".tsv"}:
        try:
            gone = any(pattern.search(text) for text in _texts(file))
        except _UNREADABLE:
            gone = True
        if gone:
            file.unlink()
        return int(gone)
    text = file.read_text(encoding="utf-8", errors="surrogateescape")
    if not pattern.search(text):
        return 0
    rows = _rows(text) if file.suffix.lower() == ".csv" else text.splitlines(keepends=True)
    kept = [row for row in rows if not pattern.search(row)]
    part = file.with_suffix(f"{file.suffix}.part")
    part.touch(mode=0o600)
    part.write_text("".join(kept), encoding="utf-8", errors="surrogateescape")
    part.replace(file)
    return len(rows) - len(kept)


def _texts(file: Path) -> Iterator[str]:
    """What a file says in readable words; a workbook is a ZIP of XML."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as book:
            yield from (book.read(name).decode("utf-8", "ignore") for name in book.namelist() if name.endswith(".xml"))
    else:
        yield file.read_bytes().decode("utf-8", "ignore")


def _rows(text: str) -> Sequence[str]:
    """Records of a CSV as they stand; one may span lines."""
    rows: list[str] = []
    open_ = False
    for line in text.splitlines(keepends=True):
        if open_:
            rows[-1] += line
        else:
            rows.append(line)
        open_ ^= line.count('"') % 2 == 1
    return rows


def _digits(value: str) -> str:
    """A number in any spelling: its national digits with little between them."""
    try:
        national = str(phonenumbers.parse(value, None).national_number)
    except phonenumbers.NumberParseException:
        national = re.sub(r"\D", "", value)
    return "[^0-9A-Za-z]{0,2}".join(national)
