"""What a pause holds does not grow old: audiences, which say why they ended, and the patience of messages. What was
taken back while it was on its way says so. Backtests read past runs."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute(AUDIENCES)
    op.execute(OUTBOX)
    op.execute(READING)


AUDIENCES = """
ALTER TABLE journey_audiences ADD COLUMN until timestamp with time zone, ADD COLUMN end_reason TEXT;
UPDATE journey_audiences SET until = at + interval '24 hours', end_reason = CASE WHEN done_at IS NULL THEN NULL ELSE 'finished' END;
ALTER TABLE journey_audiences ALTER COLUMN until SET NOT NULL;
"""
OUTBOX = "ALTER TABLE outbox ADD COLUMN taken TEXT, ADD COLUMN freed_at timestamp with time zone"
READING = """
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'kesher_backtest') THEN
    GRANT SELECT ON past_runs TO kesher_backtest;
  END IF;
EXCEPTION WHEN insufficient_privilege THEN NULL;
END $$;
"""
