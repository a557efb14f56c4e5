"""What a file holds, guessed from the names of its columns."""

from __future__ import annotations

import pytest

from crm.events.importing.guess import guess_kind


@pytest.mark.parametrize(
    "columns",
    [
        "email,name,lead_source,stage,converted",
        "Name,Phone,Source,Campaign,Cost",
        "Prospect ID,Lead Number,Email",
        "שם,טלפון,מקור הליד,סטטוס ליד",
        "email,utm_source,Converted",
    ],
)
def test_columns_that_only_leads_have_make_a_file_of_leads(columns: str) -> None:
    assert guess_kind(columns.split(",")) == "leads"


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ("email,name,city,birthday", "people"),
        ("email,name,source", "people"),
        ("email,name,utm_source,utm_campaign", "people"),
        ("שם,טלפון,עיר,מאשר דיוור", "people"),
        ("order id,date,total,source,campaign,cost", "orders"),
        ("event,timestamp,email", "events"),
    ],
)
def test_one_such_column_makes_no_leads(columns: str, kind: str) -> None:
    assert guess_kind(columns.split(",")) == kind
