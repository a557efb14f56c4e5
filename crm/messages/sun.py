"""When the sun stands at a height in the evening, by NOAA's solar calculator. Pure.

Source: NOAA Global Monitoring Laboratory, "Solar Calculation Details" and its spreadsheet NOAA_Solar_Calculations_day
(gml.noaa.gov/grad/solcalc/calcdetails.html), after Jean Meeus, Astronomical Algorithms, 2nd ed., chapters 25 and 28. Sea level; good to
about a minute between the polar circles.
"""

from __future__ import annotations

import datetime as dt
from math import acos, asin, cos, degrees, radians, sin, tan

SUNSET = -0.833  # degrees of the sun's centre: 50' below the horizon, of which 34' are refraction
J2000 = dt.datetime(2000, 1, 1, 12, tzinfo=dt.UTC)
CENTURY = dt.timedelta(days=36525)


def evening(day: dt.date, latitude: float, longitude: float, height: float = SUNSET) -> dt.datetime:
    """When on that day, as the place counts days, the sinking sun reaches this height; where it never does, the nearest it comes to it.

    Degrees; north and east are positive.
    """
    moment = dt.datetime.combine(day, dt.time(12), dt.UTC) - dt.timedelta(minutes=4 * longitude)
    noon = moment
    for _round in range(2):  # the second time with the sun as it stands at sunset
        declination, equation = _sun(moment)
        moment = noon + dt.timedelta(minutes=4 * _hour_angle(latitude, declination, height) - equation)
    return moment


def _hour_angle(latitude: float, declination: float, height: float) -> float:
    phi, delta = radians(latitude), radians(declination)
    cosine = (sin(radians(height)) - sin(phi) * sin(delta)) / (cos(phi) * cos(delta))
    return degrees(acos(max(-1.0, min(1.0, cosine))))


def _sun(moment: dt.datetime) -> tuple[float, float]:
    """Its declination in degrees, and the equation of time in minutes."""
    t = (moment - J2000) / CENTURY
    longitude = radians((280.46646 + t * (36000.76983 + t * 0.0003032)) % 360)
    anomaly = radians(357.52911 + t * (35999.05029 - 0.0001537 * t))
    eccentricity = 0.016708634 - t * (0.000042037 + 0.0000001267 * t)
    centre = sin(anomaly) * (1.914602 - t * (0.004817 + 0.000014 * t)) + sin(2 * anomaly) * (0.019993 - 0.000101 * t) + sin(3 * anomaly) * 0.000289
    node = radians(125.04 - 1934.136 * t)
    apparent = longitude + radians(centre - 0.00569 - 0.00478 * sin(node))
    obliquity = radians(23 + (26 + (21.448 - t * (46.815 + t * (0.00059 - t * 0.001813))) / 60) / 60 + 0.00256 * cos(node))
    y = tan(obliquity / 2) ** 2
    equation = (
        y * sin(2 * longitude) - 2 * eccentricity * sin(anomaly) + 4 * eccentricity * y * sin(anomaly) * cos(2 * longitude)
        - y * y / 2 * sin(4 * longitude) - 1.25 * eccentricity * eccentricity * sin(2 * anomaly)
    )  # fmt: skip
    return degrees(asin(sin(obliquity) * sin(apparent))), 4 * degrees(equation)
