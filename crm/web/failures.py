"""One handler for everything that goes wrong: a page or a toast for people, JSON for programs, an id for the log."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, jsonify, render_template, request
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DataError, DBAPIError
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response as AnyResponse

from crm.core.db import is_passing
from crm.core.errors import KesherError
from crm.core.i18n import _l
from crm.web import auth
from crm.web.db import db
from crm.web.words import refusal

log = structlog.get_logger()
SENTENCES = {
    400: _l("This request could not be read. Go back, reload the page and try again."),
    401: _l("Sign in first."),
    403: _l("Your role may not open this. Ask an admin of this installation."),
    404: _l("There is nothing at this address. It may have been moved or removed."),
    405: _l("This address cannot be used that way. Go back and try again."),
    413: _l("This is more than we take at once. Send less."),
    429: _l("Too many tries. Wait five minutes, then try again."),
    500: _l("Something broke on our side. Nothing you entered elsewhere is lost; try again, and tell an admin the number below if it stays."),
    503: _l("We are busy for a moment. Try again shortly."),
}
BROKEN, BUSY = 500, 503


def install(app: Flask) -> None:
    """Answer every error with a sentence."""
    app.register_error_handler(Exception, answer)


def answer(error: Exception) -> AnyResponse:
    """What the person or program meets; the trace goes to the log under the same id."""
    if isinstance(error, HTTPException) and error.code is None:
        return error.get_response()
    if isinstance(error, InternalServerError) and isinstance(error.original_exception, Exception):
        error = error.original_exception  # saying that there is nothing here, we asked the database who is asking
    if away := is_passing(error):
        auth.ask_nobody()
    elif isinstance(error, DBAPIError):
        db().rollback()  # what was refused spoils its transaction, and who asks and what is hidden from them is still to be read
    status, sentence = _read(error)
    number = f"e-{secrets.token_hex(4)}"
    entry = {"error_id": number, "status": status, "method": request.method, "path": _path()}
    if away:
        log.warning("request_without_database", **entry, why=str(error))
    elif status >= BROKEN:
        log.error("request_failed", **entry, exc_info=error)
    elif isinstance(error, DataError):
        log.warning("request_unanswerable", **entry, why=str(error.orig))
    else:
        log.info("request_refused", **entry, why=sentence)
    response = _shape(status, sentence, refusal(error) if isinstance(error, KesherError) else _(sentence), number)
    response.status_code = status
    if status == BUSY:
        response.headers["Retry-After"] = "5"
    return response


def _path() -> str:
    """Where it was, without the token of a signed link: whoever reads the log must not be able to follow it."""
    rule = request.url_rule
    return rule.rule if rule is not None and "token" in rule.arguments else request.path


def _read(error: Exception) -> tuple[int, str]:
    if isinstance(error, CSRFError):
        return 400, _("This page was open too long, so the form has expired. Reload the page and try again.")
    if isinstance(error, KesherError):
        return error.status, str(error)
    if is_passing(error):
        return BUSY, SENTENCES[BUSY]
    if isinstance(error, DataError):  # a number beyond any id of ours, a text with NUL: PostgreSQL cannot even look for it
        return 400, SENTENCES[400]
    code = error.code if isinstance(error, HTTPException) else InternalServerError.code
    code = code or BROKEN
    return code, SENTENCES.get(code, SENTENCES[400] if code < BROKEN else SENTENCES[BROKEN])


def _shape(status: int, sentence: str, words: str, number: str) -> Response:
    if request.path.startswith("/api/"):
        return jsonify({"error": sentence, "id": number})
    if request.headers.get("HX-Request"):
        return Response(render_template("toast.html", sentence=words, number=number, kind="bad"), headers={"HX-Retarget": "#toast", "HX-Reswap": "innerHTML"})
    return Response(render_template("error.html", status=status, sentence=words, number=number, back=_back()))


def _back() -> str:
    """The page of ours that led here; nothing where none did, where it is this one, and for Home, which is offered anyway."""
    try:
        came = urlsplit(request.referrer or "")
    except ValueError:
        return ""
    path = auth.safe_next(came.path + (f"?{came.query}" if came.query else "")) if came.netloc == request.host else "/"
    again = request.method == "GET" and path == request.full_path.rstrip("?")
    return "" if again or path == "/" else path
