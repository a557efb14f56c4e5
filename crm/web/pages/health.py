"""Whether this process can work: for load balancers and `kesher doctor`."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from crm.web.db import db

bp = Blueprint("health", __name__)


@bp.get("/health")
def health() -> tuple[Response, int]:
    """200 where the database answers, else 503."""
    try:
        db().execute(text("SELECT 1"))
    except SQLAlchemyError:
        return jsonify({"status": "failing", "database": False}), 503
    return jsonify({"status": "ok", "database": True}), 200
