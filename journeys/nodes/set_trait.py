"""Write a trait on the profile; it is learned through the log like any other."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from crm.core.i18n import _l
from journeys.node import Advance, Node, Run, Sentence, Settings, SetTraits, Step


class SetTraitSettings(Settings):
    """Which trait, and what it becomes."""

    trait: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.]{0,99}$", title=_l("Trait"), json_schema_extra={"x-suggest": "trait"})
    value: str | bool | int | float = Field(title=_l("Value"))


class SetTrait(Node[SetTraitSettings]):
    """Says it and goes on; later nodes see the new value once the log has it."""

    kind = "set_trait"
    title = _l("Set a trait")
    icon = "id"
    group = _l("Changes")
    effects = True
    settings_type = SetTraitSettings

    def exits(self, settings: SetTraitSettings) -> Mapping[str, str]:
        """One."""
        return {"next": ""}

    def step(self, settings: SetTraitSettings, run: Run) -> Step:
        """Always."""
        return Advance(effects=(SetTraits({settings.trait: settings.value}),), why={"trait": settings.trait, "value": settings.value})

    def summary(self, settings: SetTraitSettings) -> Sentence:
        """What becomes what."""
        return Sentence(_l("“%(trait)s” becomes “%(value)s”"), {"trait": settings.trait, "value": settings.value})


plugin = SetTrait()
