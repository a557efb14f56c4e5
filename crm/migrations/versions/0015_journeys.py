"""What a pause holds does not grow old: audiences, which say why they ended, and the patience of messages."""

from alembic import op

revision = "0015"
down_revision = "0011"


def upgrade() -> None:
    op.execute(AUDIENCES)
    op.execute(PATIENCE)


AUDIENCES = """
ALTER TABLE journey_audiences ADD COLUMN until timestamp with time zone, ADD COLUMN end_reason TEXT;
UPDATE journey_audiences SET until = at + interval '24 hours', end_reason = CASE WHEN done_at IS NULL THEN NULL ELSE 'finished' END;
ALTER TABLE journey_audiences ALTER COLUMN until SET NOT NULL;
"""
PATIENCE = "ALTER TABLE outbox ADD COLUMN freed_at timestamp with time zone"
