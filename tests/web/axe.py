"""axe-core over a page that is open in a browser: what it breaks of WCAG 2.2 AA."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

from tests.browsers import rest

SOURCE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
OF_WIDTH = ("target-size", "scrollable-region-focusable", "button-name", "link-name", "label", "select-name")  # rules that another width may break
ASK = """async ([type, values]) => {
    const hold = (event) => event.preventDefault();  // what asks again every few seconds is not swapped while it is looked at
    document.addEventListener("htmx:beforeRequest", hold);
    const found = await axe.run(document, { runOnly: { type, values }, resultTypes: ["violations"] });
    document.removeEventListener("htmx:beforeRequest", hold);
    return found.violations.flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.target.join(" ")} ${node.any.map(one => one.message).join("; ")}`));
}"""


def violations(page: Page) -> list[str]:
    """One sentence for each element that breaks a rule."""
    return _ask(page, "tag", TAGS)


def of_width(page: Page) -> list[str]:
    """The same of a page that was looked at in this language at another width already, and at this one in another language: colours are the same in both."""
    return _ask(page, "rule", OF_WIDTH)


def _ask(page: Page, kind: str, values: tuple[str, ...]) -> list[str]:
    rest(page)
    if not page.evaluate("'axe' in window"):
        page.evaluate(SOURCE)
    found: list[str] = page.evaluate(ASK, [kind, values])
    return found
