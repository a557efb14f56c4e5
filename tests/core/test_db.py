"""What the database says when it fails."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError


def test_an_error_of_the_database_names_nobody(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DataError) as failed:
        connection.execute(text("SELECT 1 / 0 WHERE :address <> ''"), {"address": "dana@shop.example"})
    assert "division by zero" in str(failed.value)
    assert "dana@shop.example" not in str(failed.value)
