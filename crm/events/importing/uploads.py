"""Uploaded files: kept under the home, looked at, and moved from one state to the next. Rows are the truth; workers do the work."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from crm.core.errors import InvalidError, TooLargeError
from crm.core.i18n import _l
from crm.events.importing import mapping as language
from crm.events.importing import readers, recognise, wizard
from crm.events.importing.models import WORKING, Upload
from crm.events.importing.recognise import Recognised

LARGEST = 50 * 1024 * 1024  # bytes of an upload
KEPT = dt.timedelta(days=30)  # how long a file and its rejects stay on disk
_BLOCK = 1 << 20
_OF_THE_CHECK = ("known", "new", "apart")  # counts that an import keeps from the dry run before it
_NEXT: Mapping[str, Sequence[str]] = {  # state -> those it may follow
    "ready": ("new", "ready", "checked", "failed", "undone"),
    "checking": ("ready", "checked", "failed", "undone"),
    "running": ("ready", "checked", "cancelled", "failed"),
    "cancelled": ("running",),
    "undoing": ("done", "cancelled", "failed"),
}


def folder(home: Path) -> Path:
    """Where files wait, readable to their owner alone."""
    found = home / "imports"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def stored(home: Path, upload: Upload) -> Path:
    """The file of an upload; InvalidError where it is gone."""
    path = folder(home) / f"{upload.file_digest.hex()}.{upload.how['format']}"
    if not path.exists():
        raise InvalidError(_l("The file is not kept any more. Upload it again."))
    return path


def rejects(home: Path, upload: Upload) -> Path:
    """The list of lines that were not taken, or not wholly."""
    return folder(home) / f"{upload.id}.rejected.csv"


def keep(session: Session, *, stream: IO[bytes], name: str, home: Path, user_id: int | None, now: dt.datetime) -> Upload:
    """Store a file and say how it would be read; the same bytes again are the same row. InvalidError where it is no table."""
    path = folder(home) / f".{hashlib.sha256(f'{name}{now}'.encode()).hexdigest()[:16]}.part"
    try:
        _write(stream, path)
        recognise.to_utf8(path)
        found = recognise.recognise(path)
        digest = readers.digest(path)
        path.replace(folder(home) / f"{digest.hex()}.{found.format}")
    finally:
        path.unlink(missing_ok=True)
    known = session.scalars(select(Upload).where(Upload.file_digest == digest)).one_or_none()
    if known is not None:
        return known
    size = (folder(home) / f"{digest.hex()}.{found.format}").stat().st_size
    clean = " ".join(Path(name.replace("\\", "/")).name.replace("\x00", "").split())[:200] or "file"
    row = Upload(file_name=clean, file_digest=digest, size=size, how=_how(found), created_by=user_id, created_at=now, status="new")
    session.add(row)
    session.flush()
    return row


def _write(stream: IO[bytes], path: Path) -> None:
    written = 0
    with path.open("xb") as file:
        path.chmod(0o600)
        while block := stream.read(_BLOCK):
            written += len(block)
            if written > LARGEST:
                raise TooLargeError(_l("The file is larger than 50 MB. Split it, or use the command: kesher import."))
            file.write(block)


def _how(found: Recognised) -> dict[str, Any]:
    return {name: value for name, value in found.as_dict().items() if name != "sample"}


def look(upload: Upload, home: Path) -> Recognised:
    """The columns and first lines, read in the way that was chosen."""
    how = upload.how
    wished = {name: how[name] for name in ("encoding", "delimiter", "header", "sheet") if name in how}
    return recognise.recognise(stored(home, upload), **wished)


def reread(upload: Upload, home: Path, wished: Mapping[str, Any]) -> Recognised:
    """Read in another way: encoding, delimiter, sheet, with or without names in the first line."""
    found = recognise.recognise(stored(home, upload), **wished)
    upload.how = _how(found)
    return found


def choose(session: Session, upload: Upload, *, plan: wizard.Plan, settings: dict[str, Any], source_id: int, now: dt.datetime) -> None:
    """Keep what was chosen, as a mapping; InvalidError says what is missing."""
    mapping = wizard.build(plan, upload.how)
    move(session, upload, to="ready", now=now)
    upload.mapping, upload.settings, upload.source_id = mapping.model_dump(mode="json", by_alias=True, exclude_unset=True), settings, source_id
    upload.counts, upload.error = {}, ""


def mapping_of(upload: Upload) -> language.Mapping:
    """The mapping that was chosen; InvalidError where none was."""
    if not upload.mapping:
        raise InvalidError(_l("Choose first what the columns mean."))
    return language.Mapping.model_validate(upload.mapping)


def move(session: Session, upload: Upload, *, to: str, now: dt.datetime) -> None:
    """Into the next state, under the row's lock; InvalidError where that cannot follow the present one."""
    session.refresh(upload, with_for_update=True)
    if upload.status not in _NEXT[to] or (upload.import_id is not None and to in {"ready", "checking"}):
        raise InvalidError(_l("This cannot be done now: the import has gone on meanwhile. Look at its page again."))
    upload.status = to
    if to == "checking" or (to == "running" and upload.import_id is None):
        upload.counts = {name: upload.counts[name] for name in _OF_THE_CHECK if to == "running" and name in upload.counts}
    if to in WORKING:
        upload.started_at, upload.progress_at, upload.ended_at, upload.position, upload.total, upload.error = now, now, None, 0, 0, ""
    elif to == "cancelled":
        upload.ended_at = now


def stop_checking(session: Session, upload: Upload) -> None:
    """A check may be broken off without a trace."""
    session.execute(update(Upload).where(Upload.id == upload.id, Upload.status == "checking").values(status="ready"))
    session.refresh(upload)


def discard(session: Session, upload: Upload, home: Path) -> None:
    """Forget a file of which nothing was imported; InvalidError where something was."""
    session.refresh(upload, with_for_update=True)
    if upload.status not in {"new", "ready", "checked", "undone"} and not (upload.status == "failed" and upload.import_id is None):
        raise InvalidError(_l("Something of this file was imported. Undo the import instead."))
    forget_files(upload, home)
    session.delete(upload)


def forget_files(upload: Upload, home: Path) -> None:
    """Remove what lies on disk."""
    (folder(home) / f"{upload.file_digest.hex()}.{upload.how['format']}").unlink(missing_ok=True)
    rejects(home, upload).unlink(missing_ok=True)


def tidy(session: Session, home: Path, now: dt.datetime) -> int:
    """Remove the files of uploads that ended, or were left, a month ago; returns how many."""
    old = session.scalars(select(Upload).where(Upload.status.not_in(WORKING), Upload.created_at < now - KEPT)).all()
    done = [upload for upload in old if (upload.ended_at or upload.created_at) < now - KEPT and rejects_or_file(home, upload)]
    for upload in done:
        forget_files(upload, home)
    return len(done)


def rejects_or_file(home: Path, upload: Upload) -> bool:
    """Whether anything of it lies on disk."""
    return rejects(home, upload).exists() or (folder(home) / f"{upload.file_digest.hex()}.{upload.how['format']}").exists()


def page(session: Session, *, before: int | None = None, size: int = 50) -> Collection[Upload]:
    """Uploads, newest first, older than the id `before`."""
    statement = select(Upload).order_by(Upload.id.desc()).limit(size)
    return session.scalars(statement if before is None else statement.where(Upload.id < before)).all()
