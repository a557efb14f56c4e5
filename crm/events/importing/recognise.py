"""What a file that somebody uploaded is, by its content: its format, encoding, delimiter, columns."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crm.core.errors import InvalidError
from crm.core.i18n import _l
from crm.events.address import normalise_email, normalise_phone
from crm.events.importing import workbook

SAMPLE = 256 * 1024  # bytes looked at
LINES = 200  # lines looked at
ENCODINGS = {"utf-8-sig": "UTF-8", "cp1255": "Windows-1255", "iso8859_8": "ISO-8859-8", "cp1252": "Windows-1252", "cp1256": "Windows-1256"}
DELIMITERS = (",", ";", "\t", "|")
_LEAST_TEXT = 0.95  # share of printable bytes; a picture has far less
_OLD = b"\xd0\xcf\x11\xe0"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Recognised:
    """How to read a file, and a look into it: names of its columns and the first lines as text."""

    format: str  # csv | xlsx
    columns: Sequence[str]
    sample: Sequence[Sequence[str]]
    header: bool
    encoding: str = "utf-8-sig"
    delimiter: str = ","
    sheet: str | None = None
    sheets: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """For the row of the import."""
        return asdict(self)


def recognise(path: Path, **wished: Any) -> Recognised:
    """Look at a file; `wished` (encoding, delimiter, header, sheet) overrules a guess. InvalidError says what to do with one we cannot read."""
    with path.open("rb") as file:
        head = file.read(SAMPLE)
    if not head.strip():
        raise InvalidError(_l("The file is empty. Choose one with a line of column names and a line for each person or order."))
    if head.startswith(b"PK") and workbook.is_workbook(path):
        return _workbook(path, wished)
    if head.startswith(_OLD):
        raise InvalidError(_l("This is a workbook of the old format (XLS). Open it, save it as XLSX or CSV and upload that."))
    if not _is_text(head):
        raise InvalidError(_l("This is neither CSV nor XLSX. Save the table as one of them and upload that."))
    if head.lstrip()[:1] in {b"<", b"{", b"["} or head.startswith(b"%PDF"):
        raise InvalidError(_l("This is a web page or a document, not a table. Open it in a spreadsheet, save it as XLSX or CSV and upload that."))
    return _csv(head, wished)


def to_utf8(path: Path) -> None:
    """Write a UTF-16 text (Excel's "Unicode text") anew as UTF-8, which can be read line by line."""
    with path.open("rb") as file:
        if file.read(2) not in _UTF16:
            return
    fresh = path.with_suffix(".utf8")
    with path.open(encoding="utf-16", errors="replace", newline="") as old, fresh.open("w", encoding="utf-8", newline="") as new:
        for part in iter(lambda: old.read(SAMPLE), ""):
            new.write(part)
    fresh.replace(path)


def _is_text(head: bytes) -> bool:
    if head[:2] in _UTF16:
        return True
    odd = sum(head.count(bytes([code])) for code in (*range(1, 9), *range(14, 27), *range(28, 32)))
    return head.count(b"\x00") < len(head) * (1 - _LEAST_TEXT) and odd < len(head) * (1 - _LEAST_TEXT) and not head.startswith((b"PK\x03\x04", b"\x89PNG"))


def guess_encoding(head: bytes) -> str:
    """UTF-8 where most lines that are not plain ASCII are it; else by which letters the bytes would be."""
    lines = [line for line in head.splitlines()[:-1] or head.splitlines() if not line.isascii()]
    fine = sum(1 for line in lines if _decodes(line))
    if fine * 2 >= len(lines):
        return "utf-8-sig"
    bytes_ = Counter(itertools.chain.from_iterable(lines))
    hebrew = sum(count for code, count in bytes_.items() if 0xE0 <= code <= 0xFA)
    other = sum(count for code, count in bytes_.items() if code >= 0xC0) - hebrew
    in_words = sum(1 for line in lines for one, two in itertools.pairwise(line) if 0xE0 <= one <= 0xFA and 0xE0 <= two <= 0xFA)
    return "cp1255" if hebrew >= other and in_words * 2 >= hebrew * 0.8 else "cp1252"


def _decodes(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _csv(head: bytes, wished: dict[str, Any]) -> Recognised:
    encoding = wished.get("encoding") or guess_encoding(head)
    if encoding not in ENCODINGS:
        raise InvalidError(_l("Choose an encoding of the list."))
    text = head.decode(encoding, "replace").replace("\x00", "")
    lines = text.splitlines(keepends=True)
    whole = lines[:-1] if len(head) == SAMPLE and len(lines) > 1 else lines
    delimiter = wished.get("delimiter") or _delimiter(whole)
    if delimiter not in DELIMITERS:
        raise InvalidError(_l("The columns are separated by a comma, a semicolon, a tab or a vertical bar; choose one of them."))
    rows = _rows(whole, delimiter)
    return _recognised(rows, wished, format="csv", encoding=encoding, delimiter=delimiter)


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in itertools.islice(csv.reader(lines, delimiter=delimiter), LINES) if any(row)]
    except csv.Error:
        return []


def _delimiter(lines: Sequence[str]) -> str:
    """The one that cuts most lines into the same number of columns, and into most of them."""

    def worth(delimiter: str) -> tuple[float, int]:
        widths = Counter(len(row) for row in _rows(lines, delimiter))
        width, often = widths.most_common(1)[0] if widths else (1, 0)
        return (often / max(widths.total(), 1) if width > 1 else 0.0), width

    found = {delimiter: worth(delimiter) for delimiter in DELIMITERS}
    best = max(share for share, _ in found.values())
    return max((d for d in DELIMITERS if found[d][0] >= best - 0.1), key=lambda d: (found[d][1], found[d][0])) if best else ","


def _workbook(path: Path, wished: dict[str, Any]) -> Recognised:
    names = workbook.sheets(path)
    sheet = wished.get("sheet") or names[0]
    rows = [["" if cell is None else str(cell) for cell in row] for _, row in itertools.islice(workbook.rows(path, sheet), LINES)]
    width = max((len(_trimmed(row)) for row in rows), default=0)
    found = [row[:width] + [""] * (width - len(row)) for row in rows if any(row)]
    return _recognised(found, wished, format="xlsx", sheet=sheet, sheets=names)


def _trimmed(row: list[str]) -> list[str]:
    while row and not row[-1]:
        row = row[:-1]
    return row


def _recognised(rows: list[list[str]], wished: dict[str, Any], **how: Any) -> Recognised:
    if not rows or not rows[0]:
        raise InvalidError(_l("No line of a table was found. Choose a file with a line of column names and a line for each person or order."))
    if len(rows[0]) > workbook.MOST_COLUMNS:
        raise InvalidError(_l("The table has more than 500 columns. Leave those that are needed, and upload that."))
    header = wished.get("header")
    header = _has_names(rows) if header is None else bool(header)
    names = [cell.strip().replace("\x00", "")[:200] for cell in rows[0]] if header else [""] * len(rows[0])
    sample = [[cell[:200] for cell in row] for row in rows[1 if header else 0 :] if len(row) == len(names)]
    return Recognised(columns=names, sample=sample[:100], header=header, **how)


def _has_names(rows: Sequence[Sequence[str]]) -> bool:
    """A first line of names holds no address, no number, and hardly an empty cell."""
    first = [cell.strip() for cell in rows[0]]
    values = any(normalise_email(cell) or normalise_phone(cell) or cell.replace(".", "").replace("/", "").isdigit() for cell in first if cell)
    return not values and sum(map(bool, first)) * 2 >= len(first)
