"""Lines of a file, one by one: CSV, XLSX, JSON Lines, Parquet. Nothing is read whole."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import orjson

from crm.core.errors import InvalidError
from crm.events.importing import workbook
from crm.events.importing.mapping import Mapping

try:
    import pyarrow.parquet as arrow_parquet
except ImportError:  # the `parquet` extra is not installed; opening such a file says so
    arrow_parquet = None

Parquet: ModuleType | None = arrow_parquet
LARGEST_CELL = 1 << 20  # characters; a stray quote would else swallow the rest of the file


@dataclass(slots=True)
class Line:
    """One record: its number in the file (from 1; the header counts), its cells in the mapping's order, or what is wrong with it."""

    number: int
    cells: Sequence[Any]
    problem: str = ""
    raw: Any = None


@dataclass(slots=True)
class File:
    """An opened file: its lines, and how far the reading is."""

    total: int
    unit: str  # bytes | rows
    lines: Iterator[Line]
    position: Callable[[], int]


def digest(path: Path) -> bytes:
    """SHA-256 of the file's bytes: what an import is known by."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def open_file(path: Path, mapping: Mapping) -> File:
    """Open by the mapping's format, or by the file's ending."""
    kind = mapping.format if mapping.format != "auto" else _ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise InvalidError(f"{path.name} ends in none of {', '.join(_ENDINGS)}; say `format: csv`, `xlsx`, `jsonl` or `parquet` in the mapping.")
    if mapping.calls and kind != "jsonl":
        raise InvalidError("A mapping with `calls` reads JSON lines; this file is none.")
    try:
        return _OPENERS[kind](path, mapping)
    except OSError as error:
        raise InvalidError(f"{path} cannot be read: {error.strerror or error}.") from error


def names(mapping: Mapping) -> list[str]:
    """The columns as the file calls them."""
    return [column.column or name for name, column in mapping.columns.items()]


class _Text:
    """Lines of text that remember whether they were readable."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self.file, self.encoding, self.broken = file, encoding, False

    def __iter__(self) -> Iterator[str]:
        for number, raw in enumerate(self.file):
            encoding = self.encoding if number == 0 else self.encoding.removesuffix("-sig")
            try:
                yield raw.decode(encoding)
            except UnicodeDecodeError:
                self.broken = True
                yield raw.decode(encoding, "replace")


def _csv(path: Path, mapping: Mapping) -> File:
    file = path.open("rb")
    return File(path.stat().st_size, "bytes", _csv_lines(file, mapping), file.tell)


def _csv_lines(file: BinaryIO, mapping: Mapping) -> Iterator[Line]:
    text = _Text(file, mapping.encoding)
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.reader(iter(text), delimiter=mapping.delimiter)
    header = _header(reader) if mapping.header else None
    places, width = _places(mapping, header), mapping.width or len(mapping.columns if header is None else header)
    whole = places == list(range(width))
    while True:
        text.broken = False
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(reader.line_num, (), f"the line is not CSV: {error}", "")
            continue
        if len(row) == width and any(row) and not text.broken:
            yield Line(reader.line_num, row if whole else [row[place] for place in places], raw=row)
        elif any(row):
            yield Line(reader.line_num, (), f"not written in {mapping.encoding}" if text.broken else f"{len(row)} columns instead of {width}", row)


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        return [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise InvalidError(f"The first line of the file is not CSV: {error}. Save it as CSV, or say another `format` in the mapping.") from error


def _places(mapping: Mapping, header: Sequence[str] | None) -> list[int]:
    """Where each column stands: at its own place, else where the header names it, else in the mapping's order."""
    if header is None:
        return [number if column.place is None else column.place for number, column in enumerate(mapping.columns.values())]
    said = [(column.column or name, column.place) for name, column in mapping.columns.items()]
    missing = [name for name, place in said if place is None and name not in header]
    if missing:
        raise InvalidError(f"The file has no column {', '.join(map(repr, missing))}; its columns are {', '.join(header) or 'none: it is empty'}.")
    return [header.index(name) if place is None else place for name, place in said]


def _xlsx(path: Path, mapping: Mapping) -> File:
    rows = workbook.rows(path, mapping.sheet)
    return File(rows.total, "rows", _xlsx_lines(rows, mapping), lambda: rows.read)


def _xlsx_lines(rows: workbook.Rows, mapping: Mapping) -> Iterator[Line]:
    each = iter(rows)
    header = [str(cell or "").strip() for cell in next(each, (0, ()))[1]] if mapping.header else None
    places = _places(mapping, header)
    for number, row in each:
        if all(cell is None or cell == "" for cell in row):
            continue
        cells = [row[place] if place < len(row) else None for place in places]
        wrong = next((cell for cell in cells if isinstance(cell, workbook.Wrong)), None)
        raw = [str(cell) if isinstance(cell, workbook.Wrong) else cell for cell in row]
        yield Line(number, (), f"a cell shows the error {wrong}", raw) if wrong else Line(number, cells, raw=raw)


def _jsonl(path: Path, mapping: Mapping) -> File:
    file = path.open("rb")
    return File(path.stat().st_size, "bytes", _json_lines(file, mapping), file.tell)


def _json_lines(file: BinaryIO, mapping: Mapping) -> Iterator[Line]:
    paths = [name.split(".") for name in names(mapping)]
    for number, raw in enumerate(file, 1):
        if not raw.strip():
            continue
        try:
            found = orjson.loads(raw)
        except ValueError as error:
            yield Line(number, (), f"the line is not JSON: {error}", raw.decode(errors="replace").rstrip())
            continue
        if isinstance(found, dict):
            yield Line(number, [_reach(found, path) for path in paths], raw=found)
        else:
            yield Line(number, (), "the line is not a JSON object", found)


def _reach(found: Any, path: Sequence[str]) -> Any:
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _parquet(path: Path, mapping: Mapping) -> File:
    if Parquet is None:
        raise InvalidError(f"Reading Parquet needs pyarrow, which is not installed here. Run: {sys.executable} -m pip install pyarrow")
    try:
        opened = Parquet.ParquetFile(path)
    except ValueError as error:
        raise InvalidError(f"{path.name} is not a Parquet file: {error}.") from error
    wanted = names(mapping)
    _places(mapping, list(opened.schema_arrow.names))
    seen = [0]
    return File(opened.metadata.num_rows, "rows", _parquet_lines(opened, wanted, seen), lambda: seen[0])


def _parquet_lines(opened: Any, wanted: list[str], seen: list[int]) -> Iterator[Line]:
    for batch in opened.iter_batches(batch_size=8192, columns=sorted(set(wanted))):
        columns = [batch.column(name).to_pylist() for name in wanted]
        for row in zip(*columns, strict=True):
            seen[0] += 1
            yield Line(seen[0], row, raw=row)


_ENDINGS = {".csv": "csv", ".tsv": "csv", ".xlsx": "xlsx", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_OPENERS: dict[str, Callable[[Path, Mapping], File]] = {"csv": _csv, "xlsx": _xlsx, "jsonl": _jsonl, "parquet": _parquet}
