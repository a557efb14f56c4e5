"""The `kesher` command: finds the sub-command's file and runs it."""

from __future__ import annotations

import argparse
import ast
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

import workers.commands
from crm.core.errors import KesherError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = parser_for(words).parse_args(words)
    try:
        return int(args.call(args) or 0)
    except KesherError as error:
        print(f"kesher: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser with the sub-command that was typed; where none was recognised, with the name and first line of each."""
    names = {info.name.rstrip("_"): info.name for info in pkgutil.iter_modules(workers.commands.__path__)}
    parser = argparse.ArgumentParser(prog="kesher", description="The memory and the voice of a shop.")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    if words and words[0] in names:
        importlib.import_module(f"workers.commands.{names[words[0]]}").add_parser(subparsers)
    else:
        for name, module in sorted(names.items()):
            subparsers.add_parser(name, help=_first_line(module))
    _add_home(parser)
    return parser


def _first_line(module: str) -> str:
    """What a command says of itself, read without importing it."""
    source = (Path(workers.commands.__path__[0]) / f"{module}.py").read_text(encoding="utf-8")
    said = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return said.partition("`: ")[2] or said


def _add_home(parser: argparse.ArgumentParser) -> None:
    """Every command takes `--home`; where a command has actions, its actions do."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        parser.add_argument("--home", type=Path, default=None, help="where the installation keeps its data (default: KESHER_HOME, else the usual place)")
    for action in inner:
        for sub in action.choices.values():
            _add_home(sub)


if __name__ == "__main__":
    sys.exit(main())
