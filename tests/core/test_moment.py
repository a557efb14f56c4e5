"""A moment in UTC is written as Python itself would write it."""

import datetime as dt
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from crm.core.clock import parse_time
from crm.core.json import moment

ZONES = st.sampled_from([dt.UTC, ZoneInfo("UTC")])


@given(st.datetimes(min_value=dt.datetime(1900, 1, 1), timezones=ZONES))  # noqa: DTZ001  a bound of Hypothesis has no zone
def test_a_moment_reads_back_as_itself(at):
    assert moment(at) == at.isoformat()
    assert parse_time(moment(at)) == at
