"""When marketing may go out: the settings, and what is counted per address."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(SENDING)
    op.execute(READING)


SENDING = """
CREATE TABLE sending_settings (
    id SMALLINT DEFAULT 1 NOT NULL,
    value JSONB NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT pk_sending_settings PRIMARY KEY (id)
);
ALTER TABLE messages ADD COLUMN marked_at timestamp with time zone;
CREATE INDEX ix_messages_address ON messages (address) WHERE purpose = 'marketing' AND address IS NOT NULL;
"""
READING = """
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'kesher_backtest') THEN
    GRANT SELECT ON sending_settings TO kesher_backtest;
  END IF;
EXCEPTION WHEN insufficient_privilege THEN NULL;
END $$;
"""
