"""What every answer carries against other people's pages, and how often one may knock."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf.csrf import CSRFProtect
from werkzeug.exceptions import BadRequest

from crm.core.config import Config

csrf = CSRFProtect()
limiter = Limiter(key_func=get_remote_address, headers_enabled=False)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https: http:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FRAMED = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data: https: http:; font-src https:; frame-ancestors 'self'; sandbox"
OPENS_TABS = " allow-popups allow-popups-to-escape-sandbox"


def install(app: Flask, config: Config) -> None:
    """CSRF on every form, limits in Redis (in memory while it is away), headers on every answer."""
    csrf.init_app(app)
    app.config.setdefault("RATELIMIT_STORAGE_URI", _storage(config.redis_url))
    if app.config["RATELIMIT_STORAGE_URI"].startswith("redis"):
        app.config.setdefault("RATELIMIT_STORAGE_OPTIONS", {"socket_connect_timeout": 0.5, "socket_timeout": 0.5})
    app.config.update(RATELIMIT_IN_MEMORY_FALLBACK_ENABLED=True, RATELIMIT_SWALLOW_ERRORS=True)
    limiter.init_app(app)
    app.before_request(_plain)
    app.after_request(_headers)


def framed(html: str, *, links: bool = False) -> Response:
    """Somebody's mail as a document of its own: no script, no form, shown only inside our pages; its links open tabs or nothing."""
    shown = html.replace("<head>", '<head><base target="_blank">', 1) if links else html
    return Response(shown, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": FRAMED + (OPENS_TABS if links else "")})


def _plain() -> None:
    """NUL stands in no text that is kept: PostgreSQL refuses it, and JSON loses it on its way there, so that what was checked is not what is kept."""
    if any("\x00" in name or "\x00" in said for name, said in request.form.items(multi=True)):
        raise BadRequest


def _headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "SAMEORIGIN" if headers["Content-Security-Policy"].startswith(FRAMED) else "DENY")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    return response


def _storage(redis_url: str) -> str:
    if redis_url.startswith("unix://"):
        return "redis+" + redis_url
    return redis_url if redis_url.startswith(("redis", "memory://")) else "memory://"
