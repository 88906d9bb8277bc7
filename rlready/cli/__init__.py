"""The command line: a file a command, what they share in arguments, parser and result."""

from rlready.cli.parser import main

__all__ = ["main"]
