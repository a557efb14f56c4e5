"""Every recipe keeps its stories, in both languages, with templates that exist; and the command that runs them tells failures."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from sqlalchemy.orm import Session

from journeys import files, install, lint
from journeys.graph import Drawing, parse
from journeys.story import STORIES, Story, read, run
from workers.manage import main

NAMES = sorted(files.recipes())
CASES = [(name, story) for name in NAMES for story in read(STORIES / f"{name}.yaml")]


@pytest.mark.parametrize(("name", "story"), CASES, ids=[f"{name}: {story.name}" for name, story in CASES])
def test_a_story_holds(name: str, story: Story) -> None:
    assert run(parse(files.recipes()[name]), story) == []


def test_a_message_sent_twice_is_not_the_one_that_was_told() -> None:
    send = {"kind": "send", "settings": {"template": "win_back"}}
    nodes = {"one": send | {"exits": {"next": "two"}}, "two": send | {"exits": {"next": "end"}}, "end": {"kind": "stop"}}
    trigger = {"kind": "event", "settings": {"event": "Order Completed", "key": "event"}}
    told = Story.model_validate({"name": "once", "events": [{"name": "Order Completed"}], "expect": [{"after": "0s", "template": "win_back"}]})
    assert run(parse({"name": {"en": "Twice"}, "trigger": trigger, "entry": "one", "nodes": nodes}), told) != []


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_speaks_both_languages_and_has_its_templates(name: str) -> None:
    drawing = Drawing.model_validate(files.recipes()[name])
    assert {"en", "he"} <= set(drawing.name) and all({"en", "he"} <= set(part.name) for part in drawing.nodes.values())
    folder = Path(__file__).parents[2] / "templates/email"
    for part in drawing.nodes.values():
        if part.kind == "send":
            about = yaml.safe_load((folder / part.settings["template"] / "template.yaml").read_text())
            assert about["subject"]["en"] and (about["purpose"] != "marketing" or about["subject"]["he"].startswith("פרסומת"))
    assert list(lint.surprises(parse(files.recipes()[name]))) == []


def test_only_what_was_asked_for_is_live(session: Session, now: object) -> None:
    assert install.install(session, now) == ["abandoned_cart"]


def test_the_command_runs_stories_and_says_what_came_out_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journeys", "test"]) == 0
    assert f"{len(CASES)} of {len(CASES)} stories hold." in capsys.readouterr().out
    file = tmp_path / "mine.yaml"
    file.write_text(files.to_yaml(files.recipes()["win_back"]))
    (tmp_path / "tests").mkdir()
    wrong = [{"name": "too soon", "events": [{"name": "Order Completed"}], "expect": [{"after": "1d", "template": "win_back"}]}]
    (tmp_path / "tests/mine.yaml").write_text(yaml.safe_dump(wrong))
    assert main(["journeys", "test", str(file)]) == 1
    assert "after 1 day, 0:00:00 was not sent" in capsys.readouterr().out
    assert main(["journeys", "check", str(file)]) == 0
