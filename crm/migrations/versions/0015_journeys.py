"""Audiences that are held do not grow old, and say why they ended."""

from alembic import op

revision = "0015"
down_revision = "0011"


def upgrade() -> None:
    op.execute(AUDIENCES)


AUDIENCES = """
ALTER TABLE journey_audiences ADD COLUMN until timestamp with time zone, ADD COLUMN end_reason TEXT;
UPDATE journey_audiences SET until = at + interval '24 hours', end_reason = CASE WHEN done_at IS NULL THEN NULL ELSE 'finished' END;
ALTER TABLE journey_audiences ALTER COLUMN until SET NOT NULL;
"""
