"""The import pages: from a file to its counts and back, by the roles that may, in both languages."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import workers.uploads
from crm.core.config import Config
from crm.events.importing import uploads
from crm.events.importing.models import WORKING, Upload
from crm.messages import templates
from crm.web import rights
from tests.web.conftest import Browser
from workers import pipeline

PEOPLE = """email,phone,name,birthday,newsletter,<b>note</b>
dana@example.com,050-5550142,Dana,31/02/1990,yes,=1+1
nobody,,Yossi,1.2.1990,no,x
noa@example.com,,נועה,2.3.1991,,y
broken,line
"""


@pytest.fixture(autouse=True)
def topics(session: Session, now) -> None:
    templates.install(session, templates.shipped_templates(), now)
    session.commit()


def send(browser: Browser, data: str | bytes, name: str = "people.csv"):
    body = data.encode() if isinstance(data, str) else data
    return browser.post("/imports", page="/imports", file=(io.BytesIO(body), name))


def choose(browser: Browser, number: int, **changes: str):
    """Send the form as it stands on the page, with these changes."""
    page = browser.get(f"/imports/{number}/columns").text
    form = {name: value for name, value in re.findall(r'<input[^>]* name="([\w-]+)"[^>]* value="([^"]*)"', page) if name != "csrf_token"}
    for name, inner in re.findall(r'<select[^>]* name="([\w-]+)"[^>]*>(.*?)</select>', page, re.S):
        options = re.findall(r'value="([^"]*)"( selected)?', inner)
        form[name] = next((value for value, chosen in options if chosen), options[0][0] if options else "")
    form |= {"act": "save", "consent-wording": "I agree", "consent-collected": "shop, 2024"} | {
        re.sub("(role|consent)_", r"\1-", name): value for name, value in changes.items()
    }
    return browser.post(f"/imports/{number}/columns", page=f"/imports/{number}/columns", **form)


class Sessions:
    """Sessions of workers within the test's own transaction."""

    def __init__(self, session: Session) -> None:
        self.connection = session.connection()

    def __call__(self) -> Session:
        return Session(self.connection, expire_on_commit=False, join_transaction_mode="create_savepoint")


def settle(session: Session, config: Config, number: int) -> str:
    """What the workers would do now."""
    for _ in range(100):
        session.expire_all()
        status = session.get_one(Upload, number).status
        if status not in WORKING:
            return status
        workers.uploads.work(Sessions(session), config)
        while pipeline.drain(Sessions(session), config):
            pass
    raise AssertionError(status)


def test_the_preview_shows_a_day_as_the_file_says_it(browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("marketer")
    number = int(send(browser, "email,joined\ndana@example.com,01/08/2025\n").location.rpartition("/")[2])
    assert choose(browser, number, role_1="time").location.endswith("/preview")
    page = browser.get(f"/imports/{number}/preview").text
    assert "<bdi>people.csv</bdi>" in page, "in two parts a page in Hebrew would show .csvpeople"
    assert "2025-08-01 00:00" in page and "2025-07-31" not in page


def test_a_sum_in_a_file_is_veiled_under_whatever_meaning(browser_as: Callable[[str], Browser], session: Session) -> None:
    browser = browser_as("marketer")
    number = int(send(browser, "email,total,city\ndana@example.com,917.5,Haifa\n").location.rpartition("/")[2])
    pages = [f"/imports/{number}/{part}" for part in ("columns", "preview")]
    assert choose(browser, number, role_1="trait").location == pages[1]
    assert all("917.5" in browser.get(page).text for page in pages)
    rights.hide(session, {("marketer", "revenue")})
    session.commit()
    assert not [page for page in pages if "917.5" in browser.get(page).text]
    assert all("Haifa" in browser.get(page).text for page in pages)


def test_a_failure_that_names_what_stands_in_the_file_is_text(browser_as: Callable[[str], Browser], session: Session) -> None:
    browser = browser_as("marketer")
    number = int(send(browser, PEOPLE).location.rpartition("/")[2])
    session.execute(text("UPDATE uploads SET status = 'failed', error = 'Column 50% <i>off</i> is not there.'"))
    session.commit()
    assert "50% &lt;i&gt;off&lt;/i&gt;" in browser.get(f"/imports/{number}").text


def test_a_file_goes_from_upload_to_people_and_back(browser_as: Callable[[str], Browser], session: Session, config: Config) -> None:
    browser = browser_as("marketer")
    answer = send(browser, PEOPLE)
    assert answer.status_code == 302
    number = int(answer.location.rpartition("/")[2])
    assert browser.get(f"/imports/{number}").location == f"/imports/{number}/columns"
    assert choose(browser, number).location == f"/imports/{number}/preview"
    page = browser.get(f"/imports/{number}/preview").text
    assert "<b>note" not in page
    assert "31/02/1990" in page
    assert "Says nobody" in page
    assert "אינו תאריך" in browser.get(f"/imports/{number}/preview", "he").text
    browser.post(f"/imports/{number}", act="check")
    assert "Dry run going on" in browser.get(f"/imports/{number}/progress").text
    assert settle(session, config, number) == "checked"
    assert browser.get(f"/imports/{number}/progress").headers["HX-Refresh"] == "true"
    page = browser.get(f"/imports/{number}").text
    assert "Import now" in page
    assert session.scalar(text("SELECT count(*) FROM profiles")) == 0
    browser.post(f"/imports/{number}", act="run")
    assert settle(session, config, number) == "done"
    assert session.scalar(text("SELECT count(*) FROM profiles")) == 2
    assert session.scalar(text("SELECT count(*) FROM consents_current WHERE action = 'granted'")) == 1
    listed = browser.get(f"/imports/{number}/rejects")
    assert listed.headers["Content-Disposition"].startswith("attachment")
    assert listed.data.startswith("\ufeffline,reason,detail,row".encode())
    assert "birthday: '31/02/1990' is not a date" in listed.text
    assert "Says nobody" in listed.text
    listed = browser.get(f"/imports/{number}/rejects", "he")
    assert "לא אומרת מי" in listed.text and "birthday: '31/02/1990' אינו תאריך" in listed.text
    browser.post(f"/imports/{number}", act="undo")
    assert settle(session, config, number) == "undone"
    assert session.scalar(text("SELECT count(*) FROM profiles")) == 0
    said = set(session.scalars(text("SELECT action FROM audit_log")))
    assert {"import.uploaded", "import.started", "import.undone"} <= said


def test_every_page_of_an_import_opens_in_both_languages(browser_as: Callable[[str], Browser], session: Session, config: Config) -> None:
    browser = browser_as("admin")
    number = int(send(browser, PEOPLE).location.rpartition("/")[2])
    seen = []

    def look() -> None:
        for language in ("en", "he"):
            for path in ("/imports", f"/imports/{number}", f"/imports/{number}/columns", f"/imports/{number}/preview", f"/imports/{number}/progress"):
                answer = browser.get(path, language)
                assert answer.status_code in {200, 204, 302}, (path, answer.text[-800:])
                assert len(answer.data) < 100 * 1024
        seen.append(session.get_one(Upload, number).status)

    look()
    choose(browser, number)
    look()
    for act in ("check", "run", "undo"):
        browser.post(f"/imports/{number}", act=act)
        session.expire_all()
        look()
        settle(session, config, number)
        look()
    for status in ("cancelled", "failed", "folding"):
        session.execute(text("UPDATE uploads SET status = :s, error = 'The workbook is damaged.' WHERE id = :id"), {"s": status, "id": number})
        session.commit()
        session.expire_all()
        look()
    assert set(seen) == {"new", "ready", "checking", "checked", "running", "done", "undoing", "undone", "cancelled", "failed", "folding"}


def test_only_makers_may_import(browser_as: Callable[[str], Browser]) -> None:
    for role in ("sales", "agent", "viewer"):
        browser = browser_as(role)
        assert browser.get("/imports").status_code == 403
        assert send(browser, PEOPLE).status_code == 403
        assert 'href="/imports"' not in browser.get("/people").text
    assert 'href="/imports"' in browser_as("marketer").get("/people").text


def test_the_same_file_again_leads_to_what_became_of_it(browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("admin")
    first = send(browser, PEOPLE).location
    assert send(browser, PEOPLE, "renamed.csv").location == first
    assert "uploaded before" in browser.get(f"{first}/columns").text


def test_what_is_no_table_is_refused_with_a_sentence(browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("admin")
    assert send(browser, b"%PDF-1.4 not a table", "people.csv").status_code == 302
    assert "not a table" in browser.get("/imports").text
    browser.post("/imports", page="/imports")
    assert "Choose a file first" in browser.get("/imports").text


def test_a_file_over_the_limit_is_refused_and_other_forms_keep_theirs(browser_as: Callable[[str], Browser], monkeypatch: pytest.MonkeyPatch) -> None:
    browser = browser_as("admin")
    assert send(browser, "email\n" + "p@example.com\n" * 150_000).status_code == 302, "two megabytes are fine here"
    assert browser.post("/account", name="x" * 2_000_000).status_code == 413
    monkeypatch.setattr(uploads, "LARGEST", 1000)
    send(browser, "email\n" + "p@example.com\n" * 150)
    assert "larger than" in browser.get("/imports").text
    assert send(browser, "email\n" + "p@example.com\n" * 15_000).status_code == 413


def test_a_choice_that_cannot_work_stays_on_the_page_with_its_reason(browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("admin")
    number = int(send(browser, PEOPLE).location.rpartition("/")[2])
    page = choose(browser, number, role_0="skip", role_1="skip", role_4="skip").text
    assert "No column says who it is about" in page
    page = choose(browser, number, consent_wording="").text
    assert "A column of consent needs the words" in page
    assert "The day of the file" in choose(browser, number, as_of="2999-01-01").text


def test_a_state_that_has_passed_is_not_done_again(browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("admin")
    number = int(send(browser, PEOPLE).location.rpartition("/")[2])
    for act in ("run", "undo", "cancel", "nonsense"):
        assert browser.post(f"/imports/{number}", act=act).status_code == 400, act
    assert browser.get("/imports/999999").status_code == 404


def test_a_file_that_was_not_imported_can_be_removed(browser_as: Callable[[str], Browser], session: Session, config: Config) -> None:
    browser = browser_as("admin")
    number = int(send(browser, PEOPLE).location.rpartition("/")[2])
    path = uploads.stored(config.home, session.get_one(Upload, number))
    assert browser.post(f"/imports/{number}", act="discard").location == "/imports"
    assert browser.get(f"/imports/{number}").status_code == 404
    assert not path.exists()


def test_reading_it_in_another_way_changes_the_columns(browser_as: Callable[[str], Browser]) -> None:
    browser = browser_as("admin")
    number = int(send(browser, "שם;מייל\nדנה;d@example.com\n".encode("cp1255")).location.rpartition("/")[2])
    page = browser.get(f"/imports/{number}/columns").text
    assert "דנה" in page
    assert re.search(r'<option value="cp1255" selected', page)
    browser.post(f"/imports/{number}/columns", page=f"/imports/{number}/columns", act="reread", kind="orders", encoding="cp1255", delimiter=",", header="no")
    page = browser.get(f"/imports/{number}/columns").text
    assert 'name="role-1"' not in page
    assert "Sum of the order" in page
