"""Journeys as YAML files a team can review; reading back what was written gives the same graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from crm.core.errors import InvalidError
from journeys.graph import Drawing

RECIPES = Path(__file__).parent / "recipes"


def from_yaml(text: str) -> dict[str, Any]:
    """The drawing in a YAML text, unchecked. Raises InvalidError where it is not YAML or not a mapping."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidError(f"this is not YAML: {error}") from error
    if not isinstance(found, dict):
        raise InvalidError("a journey file is a mapping with name, trigger, entry and nodes")
    return found


def to_yaml(stored: object) -> str:
    """A drawing as YAML, without what is only default."""
    plain = Drawing.model_validate(stored).model_dump(by_alias=True, exclude_defaults=True, mode="json")
    return yaml.safe_dump(plain, allow_unicode=True, sort_keys=False, width=120)


def recipes() -> dict[str, dict[str, Any]]:
    """The ready journeys: slug -> drawing."""
    return {file.stem: from_yaml(file.read_text(encoding="utf-8")) for file in sorted(RECIPES.glob("*.yaml"))}
