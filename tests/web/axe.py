"""axe-core over a page that is open in a browser: what it breaks of WCAG 2.2 AA."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

SOURCE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
OF_WIDTH = ("target-size", "scrollable-region-focusable", "button-name", "link-name", "label", "select-name")  # rules that another width may break
ASK = """async ([type, values]) => {
    const found = await axe.run(document, { runOnly: { type, values }, resultTypes: ["violations"] });
    return found.violations.flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.target.join(" ")} ${node.any.map(one => one.message).join("; ")}`));
}"""


def violations(page: Page) -> list[str]:
    """One sentence for each element that breaks a rule."""
    page.evaluate(SOURCE)
    found: list[str] = page.evaluate(ASK, ["tag", TAGS])
    return found


def of_width(page: Page) -> list[str]:
    """The same on a page that was looked at already and has another width now; colours do not change with it."""
    found: list[str] = page.evaluate(ASK, ["rule", OF_WIDTH])
    return found
