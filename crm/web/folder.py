"""The folder is the registry: every module of `pages/` that has a `bp`."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from flask import Blueprint


def load_blueprints(folder: ModuleType) -> list[Blueprint]:
    """The blueprints of a folder, by name of file."""
    modules = (importlib.import_module(f"{folder.__name__}.{info.name}") for info in pkgutil.iter_modules(folder.__path__))
    return [module.bp for module in modules if isinstance(getattr(module, "bp", None), Blueprint)]
