"""Rows of an XLSX workbook, read as a stream: values as they were last calculated, never formulas."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from crm.core.errors import InvalidError
from crm.core.i18n import _l

MOST_UNPACKED = 1 << 30  # bytes; a small file that unpacks to more is a trap
MOST_COLUMNS = 500
_ERRORS = frozenset({"#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!"})
_BROKEN = (InvalidFileException, zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError, SyntaxError)  # XML that is none is a SyntaxError


class Wrong(str):
    """A cell that shows an error instead of a value."""

    __slots__ = ()


class Rows:
    """Numbered rows of one sheet; `read` says how far, `total` how many the sheet claims to have."""

    def __init__(self, sheet: Any, total: int) -> None:
        self._sheet, self.read, self.total = sheet, 0, total

    def __iter__(self) -> Iterator[tuple[int, Sequence[Any]]]:
        try:
            for number, row in enumerate(self._sheet.iter_rows(values_only=True, max_col=MOST_COLUMNS), 1):
                self.read = number
                yield number, [Wrong(cell) if isinstance(cell, str) and cell in _ERRORS else cell for cell in row]
        except _BROKEN as error:
            raise InvalidError(_l("The workbook is damaged in the middle. Open it, save it anew as XLSX and upload that.")) from error


def rows(path: Path, sheet: str | None = None) -> Rows:
    """Open a sheet by name, or the first one."""
    book = _open(path)
    if sheet is not None and sheet not in book.sheetnames:
        raise InvalidError(_l("The workbook has no sheet of that name. Choose one of its sheets."))
    found = book[sheet] if sheet else book.worksheets[0]
    claimed = int(found.max_row or 0)
    found.reset_dimensions()  # what a file claims about its size is often wrong: good enough for a bar, not for reading
    return Rows(found, claimed)


def sheets(path: Path) -> list[str]:
    """The names of a workbook's sheets that hold cells."""
    return [sheet.title for sheet in _open(path).worksheets]


def is_workbook(path: Path) -> bool:
    """By content: a zip archive with a workbook in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def _open(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > MOST_UNPACKED:
                raise InvalidError(_l("The workbook unpacks to more than 1 GB. Save the sheet you need as CSV and upload that."))
        book = load_workbook(path.open("rb"), read_only=True, data_only=True, keep_links=False)  # a stream: names do not count
    except _BROKEN as error:
        raise InvalidError(_l("The workbook cannot be opened. Open it in a spreadsheet, save it anew as XLSX or CSV and upload that.")) from error
    if not book.worksheets:
        raise InvalidError(_l("The workbook has no sheet with cells."))
    return book
