"""`python -m workers.demo`: fill the shop once, then play."""

from __future__ import annotations

from workers.demo.run import main

if __name__ == "__main__":
    main()
