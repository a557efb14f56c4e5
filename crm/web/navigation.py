"""The sections a role may use; what is not built or not allowed is absent."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app
from flask_babel import gettext as _
from flask_login import current_user

from crm.core.i18n import _l
from crm.web.auth import ALL, MAKERS


@dataclass(frozen=True, slots=True)
class Item:
    """One entry: its key, words, icon, path, who sees it, and the pages under it."""

    key: str
    title: str
    icon: str
    path: str
    roles: tuple[str, ...] = ALL
    under: tuple[Item, ...] = ()

    @property
    def label(self) -> str:
        """Its words in the page's language."""
        return str(_(self.title))


ITEMS = (
    Item("home", _l("Home"), "home", "/"),
    Item(
        "people",
        _l("People"),
        "users",
        "/people",
        under=(
            Item("list", _l("All people"), "users", "/people"),
            Item("accounts", _l("Accounts"), "building", "/accounts"),
            Item("segments", _l("Segments"), "users-group", "/segments"),
            Item("lists", _l("Lists"), "list", "/lists"),
            Item("same", _l("Same person?"), "git-merge", "/people/same", MAKERS),
            Item("held", _l("Held by guards"), "shield-x", "/people/held", MAKERS),
            Item("imports", _l("Import"), "upload", "/imports", MAKERS),
        ),
    ),
    Item(
        "journeys",
        _l("Journeys"),
        "route",
        "/journeys",
        under=(
            Item("list", _l("All journeys"), "route", "/journeys"),
            Item("surveys", _l("Recommendation score"), "heart", "/surveys"),
            Item("coupons", _l("Coupon codes"), "ticket", "/coupons"),
        ),
    ),
    Item(
        "messages",
        _l("Messages"),
        "mail",
        "/messages",
        under=(
            Item("log", _l("Log"), "mail", "/messages"),
            Item("templates", _l("Templates"), "template", "/templates"),
            Item("mailbox", _l("Mailbox"), "inbox", "/mailbox", MAKERS),
        ),
    ),
    Item(
        "sales",
        _l("Sales"),
        "phone",
        "/leads",
        under=(
            Item("leads", _l("Leads"), "phone", "/leads"),
            Item("deals", _l("Deals"), "credit-card", "/deals"),
            Item("tasks", _l("Tasks"), "list-check", "/tasks"),
            Item("sources", _l("Sources of leads"), "chart-bar", "/leads/sources"),
        ),
    ),
    Item(
        "insights",
        _l("Insights"),
        "chart-bar",
        "/products",
        under=(
            Item("products", _l("Products"), "package", "/products"),
            Item("scores", _l("Scores"), "chart-bar", "/scores"),
        ),
    ),
    Item(
        "settings",
        _l("Settings"),
        "settings",
        "/sources",
        MAKERS,
        under=(
            Item("sources", _l("Sources"), "plug-connected", "/sources", MAKERS),
            Item("quarantine", _l("Quarantine"), "inbox-off", "/quarantine", MAKERS),
            Item("computed", _l("Computed traits"), "chart-bar", "/settings/traits", MAKERS),
            Item("webhooks", _l("Webhooks"), "plug-connected", "/settings/webhooks", MAKERS),
            Item("privacy", _l("Privacy"), "shield-x", "/settings/privacy", ("admin",)),
            Item("identity", _l("Identity"), "git-merge", "/settings/identity", MAKERS),
            Item("sales", _l("Sales"), "phone", "/settings/sales", ("admin",)),
            Item("sending", _l("Sending rules"), "clock-pause", "/settings/sending", ("admin",)),
            Item("users", _l("Users"), "user-cog", "/settings/users", ("admin",)),
            Item("tokens", _l("API tokens"), "key", "/settings/tokens", ("admin",)),
            Item("audit", _l("Changes"), "history", "/settings/changes", ("admin",)),
        ),
    ),
)


def visible() -> list[Item]:
    """The entries for whoever is signed in, each with the pages under it that are built."""
    if not current_user.is_authenticated:
        return []
    return [_pruned(item) for item in ITEMS if _may(item)]


def pages() -> list[Item]:
    """Every page of `visible`, flat, for finding by name."""
    flat = [page for item in visible() for page in (item, *item.under)]
    return list({page.path: page for page in flat}.values())


def is_built(prefix: str) -> bool:
    """Whether a page of another part of the product is here: some path begins like this."""
    return any(path.startswith(prefix) for path in current_app.extensions["kesher_paths"])


def _pruned(item: Item) -> Item:
    return Item(item.key, item.title, item.icon, item.path, item.roles, tuple(page for page in item.under if _may(page)))


def _may(item: Item) -> bool:
    return current_user.role in item.roles and item.path in current_app.extensions["kesher_paths"]
