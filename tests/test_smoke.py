from sqlalchemy import text


def test_tables(session):
    assert session.scalar(text("select count(*) from sources")) == 1


def test_fresh(fresh_url, valkey):
    import psycopg
    assert psycopg.connect(fresh_url).execute("select 1").fetchone()
