"""A shop's list of people as it comes: ten thousand rows with every kind of dirt, and what must come of them."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

HEADER = ["אימייל", "נייד", "שם פרטי", "שם משפחה", "עיר", "תאריך לידה", "מועדון", "נקודות", "הסכמה לדיוור"]
CITIES = ("תל אביב", "חיפה", 'ראש"עין', "Jerusalem", "באר שבע")
PHONES = ("05{0}", "+9725{0}", "9725{0}", "009725{0}", "05{1}-{2}", "(05{1}) {2}", " 05{1} {2} ", "5{0}")
DAYS = ("{d:02}/{m:02}/{y}", "{d}.{m}.{y}", "{y}-{m:02}-{d:02}", "{d:02}-{m:02}-{y}", "{y}/{m}/{d}")
BAD_MAILS = ("dana@", "no address", "a@@b.co", "dana avrahami", "=1+1@x")
BAD_DAYS = ("31/02/1990", "unknown", "1990", "99/99/9999")


@dataclass
class Dirty:
    """The file's bytes, and what is expected of it."""

    data: bytes = b""
    expected: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)


def make(rows: int = 10_000, seed: int = 7) -> Dirty:
    """The same file for the same seed, in UTF-8 but for the lines that are not."""
    dice, found, lines = random.Random(seed), Dirty(), [",".join(HEADER).encode("utf-8-sig")]
    for number in range(rows):
        kind = dice.choices(("clean", "noted", "nobody", "width", "bytes", "double", "empty"), (70, 12, 5, 3, 3, 5, 2))[0]
        cells = _clean(dice, number)
        if kind == "noted":
            _spoil(dice, cells, found.noted)
        elif kind == "nobody":
            cells[0], cells[1] = dice.choice(["", dice.choice(BAD_MAILS)]), dice.choice(["", "12", "9.72506E+11"])
            found.noted["c0"] += cells[0] != ""
            found.noted["c1"] += cells[1] != ""
        elif kind == "width":
            cells = cells[:-2] if dice.random() < 0.5 else [*cells, "more"]
        line = ",".join(_quoted(cell) for cell in cells)
        if kind == "bytes":
            lines.append(line.encode("cp1255", "replace"))
        elif kind == "empty":
            lines.append(dice.choice([b"", b",,,,,,,,", b""]))
            continue
        else:
            lines.append(line.encode())
        found.expected[kind] += 1
        if kind == "double":
            found.expected["copies"] += 1
            lines.append(line.encode())
    found.data = b"\r\n".join(lines) + b"\r\n"
    return found


def _clean(dice: random.Random, number: int) -> list[str]:
    digits = f"{number:08}"[-8:]
    phone = dice.choice(PHONES).format(f"0{digits[1:]}", "0", digits[1:])
    day = dice.choice(DAYS).format(d=dice.randint(1, 28), m=dice.randint(1, 12), y=dice.randint(1940, 2008))
    name = dice.choice(["דנה", "Dana", "יוסי\x00", "\u200fנועה", "O'Neil", 'מ"ם'])
    mail = dice.choice(["p{}@example.co.il", " P{}@Example.co.il ", "mailto:p{}@example.co.il"]).format(number)
    return [
        mail,
        phone,
        name,
        "כהן",
        dice.choice(CITIES),
        day,
        dice.choice(["כן", "לא", "yes", "0"]),
        dice.choice(["12", "1,250", "-3"]),
        dice.choice(["כן", "לא", ""]),
    ]


def _spoil(dice: random.Random, cells: list[str], noted: Counter[str]) -> None:
    """One bad value in a line that still says who it is about."""
    place, bad = dice.choice([(0, dice.choice(BAD_MAILS)), (1, "12"), (2, '=HYPERLINK("http://x")'), (5, dice.choice(BAD_DAYS)), (6, "maybe"), (7, "many")])
    cells[place] = bad
    noted[f"c{place}"] += 1


def _quoted(cell: str) -> str:
    return f'"{cell.replace(chr(34), chr(34) * 2)}"' if any(sign in cell for sign in ',"\n') else cell
