"""`python -m workers.demo`, started by `kesher up --demo`: fill the shop once, then play."""

from __future__ import annotations

from workers.demo.run import run
from workers.process import tools

if __name__ == "__main__":
    run(tools())
