"""Everything the spine needs."""

from alembic import op

from crm.core.db import Base

revision = "0001"
down_revision = None


def upgrade() -> None:
    Base.metadata.create_all(op.get_bind())
    op.execute("INSERT INTO sources (id, name) OVERRIDING SYSTEM VALUE VALUES (1, 'kesher')")
    op.execute("INSERT INTO topics (name, title, purpose) VALUES ('offers', '{\"en\": \"Offers and reminders\", \"he\": \"מבצעים ותזכורות\"}', 'marketing'), ('service', '{\"en\": \"Service\", \"he\": \"שירות\"}', 'transactional')")
    op.execute("CREATE FUNCTION consent_ledger_is_insert_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the consent ledger only grows'; END $$")
    op.execute("CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consent_ledger FOR EACH STATEMENT EXECUTE FUNCTION consent_ledger_is_insert_only()")
