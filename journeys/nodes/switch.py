"""Choose a way by one value: of a trait, of the starting event, or the language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from crm.core.errors import SaidError
from crm.core.i18n import _l
from journeys.node import Advance, Node, Run, Sentence, Settings, Step
from journeys.rules import compare, dig

OTHERWISE = "otherwise"


class Case(Settings):
    """A way out and the value that leads there."""

    exit: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", title=_l("Way"))
    value: str = Field(min_length=1, max_length=200, title=_l("Value"))


class SwitchSettings(Settings):
    """Cases in order."""

    of: Literal["trait", "event", "language", "run"] = Field(default="trait", title=_l("Of"))
    name: str = Field(default="", max_length=200, title=_l("Name"), json_schema_extra={"x-suggest": "trait"})
    cases: list[Case] = Field(min_length=1, max_length=20, title=_l("Cases"))

    @model_validator(mode="after")
    def _distinct(self) -> SwitchSettings:
        names = [case.exit for case in self.cases]
        if len({*names, OTHERWISE}) != len(names) + 1:
            raise SaidError(_l("ways need different names, none of them %(other)s"), other=repr(OTHERWISE))
        if self.of != "language" and not self.name:
            raise SaidError(_l("a value needs the name of what it is read from"))
        return self


class Switch(Node[SwitchSettings]):
    """Exits: each case by its name, and `otherwise`."""

    kind = "switch"
    title = _l("Switch by a value")
    icon = "arrows-split"
    first = {"of": "language", "cases": [{"exit": "hebrew", "value": "he"}]}
    reads = frozenset({"traits"})
    settings_type = SwitchSettings

    def exits(self, settings: SwitchSettings) -> Mapping[str, str]:
        """The cases, in order."""
        return {case.exit: case.exit for case in settings.cases} | {OTHERWISE: _l("otherwise")}

    def step(self, settings: SwitchSettings, run: Run) -> Step:
        """The first case of that value."""
        values = {"trait": run.traits, "event": run.start.properties, "run": run.data}
        found = run.language if settings.of == "language" else dig(values[settings.of], settings.name)
        way = next((case.exit for case in settings.cases if compare("is", found, case.value)), OTHERWISE)
        return Advance(way, why={"value": found if isinstance(found, str | int | float | bool) else None})

    def summary(self, settings: SwitchSettings) -> Sentence:
        """By what it chooses."""
        return Sentence(_l("By %(names)s"), {"names": [settings.name or settings.of]})


plugin = Switch()
