"""The command line: one file per command, with its parser `COMMAND` and its function `execute`, and what commands share."""

import argparse
import codecs
import errno
import importlib
import importlib.metadata
import locale
import os
import sys

from rlready.cli.command import COMMANDS, annotate_errors, check_folders, print_error
from rlready.errors import InputError

CLOSED = 128 + 13  # the status that a shell reports if the reader of a pipe is gone (SIGPIPE)
START = """\
start with:
  rlready run --recipe laptop   a miniature experiment, in 7 to 15 minutes
  rlready COMMAND --help        arguments and an example (run: all parameters)
"""


def parse_arguments() -> argparse.Namespace:
    """Returns what the user typed after the command, with the command's `execute`."""
    listed = "\n".join(f"    {name:<11}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        "rlready",
        "rlready COMMAND ...",
        "Finds out which fine-tuned checkpoints are worth reinforcement learning.",
        f"commands:\n{listed}\n\n{START}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,  # one screen has no lines for options that everyone knows
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    version = f"rlready {importlib.metadata.version('rlready')}"
    parser.add_argument("--version", action="version", version=version, help=argparse.SUPPRESS)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    module = importlib.import_module(f"rlready.cli.{given.command}")
    return module.COMMAND.parse_args(given.rest, argparse.Namespace(execute=module.execute))


def main() -> None:
    """Runs the command line. Wrong input is shown without a traceback, with exit status 2."""
    arguments = parse_arguments()
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # so that no process imports a module of the folder in which it starts
    try:
        if not sys.flags.utf8_mode and codecs.lookup(locale.getencoding()).name != "utf-8":
            raise InputError(f"the locale's encoding is {locale.getencoding()}, but files are UTF-8; set PYTHONUTF8=1")
        if "work" in arguments:
            check_folders(arguments.work)
        with annotate_errors(arguments):
            arguments.execute(arguments)
        print(end="", flush=True)  # standard output may be closed
    except InputError as error:
        print_error(error)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # As in `rlready plan | head`: Python would complain again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            print_error(InputError(f"no space left on the device ({error.filename or 'standard output or a temporary file'})"))
        elif isinstance(error, FileNotFoundError) and error.filename is None:  # as os.getcwd() raises it
            print_error(InputError("the current folder does not exist any more; change into another"))
        else:
            raise
        sys.exit(1)
