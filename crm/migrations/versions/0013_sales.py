"""Logged calls can be taken back, and other currencies have rates; what nobody read of sellers and settings goes."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(CALLS)
    op.execute(RATES)
    op.execute(UNREAD)


CALLS = """
CREATE TABLE calls (
    id UUID NOT NULL,
    profile_id UUID NOT NULL,
    given_id UUID,
    by INTEGER NOT NULL,
    at timestamp with time zone NOT NULL,
    before JSONB NOT NULL,
    undone_at timestamp with time zone,
    CONSTRAINT pk_calls PRIMARY KEY (id)
);
CREATE INDEX ix_calls_by ON calls (by, at) WHERE undone_at IS NULL;
CREATE INDEX ix_calls_profile_id ON calls (profile_id);
"""
RATES = """
CREATE TABLE rates (
    currency VARCHAR(3) NOT NULL,
    day DATE NOT NULL,
    rate NUMERIC(20, 10) NOT NULL,
    CONSTRAINT pk_rates PRIMARY KEY (currency, day),
    CONSTRAINT ck_rates_rate CHECK (rate > 0)
);
"""
UNREAD = """
ALTER TABLE sellers DROP COLUMN given;
UPDATE sales_settings SET value = value - 'score_jump' - 'currency';
"""
