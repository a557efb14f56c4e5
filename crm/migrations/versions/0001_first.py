"""The first schema, as SQL beside this file; what every installation begins with."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
    connection.exec_driver_sql(ROWS)


ROWS = """
INSERT INTO sources (id, name) OVERRIDING SYSTEM VALUE VALUES (1, 'kesher');
INSERT INTO topics (name, title, purpose) VALUES
  ('offers', '{"en": "Offers and reminders", "he": "מבצעים ותזכורות"}', 'marketing'),
  ('service', '{"en": "Service", "he": "שירות"}', 'transactional');
CREATE FUNCTION consent_ledger_is_insert_only() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'the consent ledger only grows'; END $$;
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consent_ledger FOR EACH STATEMENT EXECUTE FUNCTION consent_ledger_is_insert_only();
"""
