"""`kesher test`: every check of the project, from a checkout."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from crm.core.errors import KesherError
from workers.commands import Subparsers

ROOT = Path(__file__).parents[2]
RED, GREEN, PLAIN = "\033[31m", "\033[32m", "\033[0m"


def add_parser(subparsers: Subparsers) -> None:
    """`test [--full]`."""
    parser = subparsers.add_parser("test", help="Run every check: style, format, types, import directions, tests.")
    parser.add_argument("--full", action="store_true", help="larger counts and the real data sets; up to an hour")
    parser.set_defaults(call=call)


def call(args: argparse.Namespace) -> int:
    """All checks run, side by side, and are told one after the other; the exit code is 1 where one failed."""
    if not (ROOT / "tests").is_dir():
        raise KesherError("The checks run from a checkout: ./kesher test.")
    with ExitStack() as ended:
        started = {name: ended.enter_context(_start(words, full=args.full)) for name, words in checks().items()}
        failed = [name for name, process in started.items() if not _passes(name, process)]
    print(_coloured(f"failed: {', '.join(failed)}", RED) if failed else _coloured("every check passed", GREEN), flush=True)
    return 1 if failed else 0


def checks() -> dict[str, list[str]]:
    """Name -> program and its words; the tests come last, so that their closing line is near the end."""
    programs = Path(sys.executable).parent
    return {
        "ruff": [str(programs / "ruff"), "check", "."],
        "format": [str(programs / "ruff"), "format", "--check", "--quiet", "."],
        "mypy": [str(programs / "mypy"), "--no-error-summary"],
        "import directions": [str(programs / "lint-imports"), "--no-logo"],
        "tests": [sys.executable, "-u", "-m", "pytest", "-n", "3", "-q", "-rs"],  # more than two cores: a third of the time a test waits for others
    }


def _start(words: Sequence[str], *, full: bool) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **({"KESHER_TEST_FULL": "1"} if full else {}), **({"FORCE_COLOR": "1"} if sys.stdout.isatty() else {})}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def _passes(name: str, process: subprocess.Popen[bytes]) -> bool:
    """What it says, as it says it; one whose turn has not come waits once the pipe is full."""
    print(_coloured(f"── {name}", ""), flush=True)
    assert process.stdout is not None  # noqa: S101  it was asked for
    while said := os.read(process.stdout.fileno(), 65536):
        sys.stdout.buffer.write(said)
        sys.stdout.flush()
    return process.wait() == 0


def _coloured(text: str, colour: str) -> str:
    return f"{colour}{text}{PLAIN}" if colour and sys.stdout.isatty() else text
