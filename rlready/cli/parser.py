"""The parser, made of the commands' files, and what happens around every command: errors, Ctrl-C and closed pipes."""

import argparse
import codecs
import locale
import os
import sys

from rlready.cli import (
    calibrate,
    clean,
    doctor,
    evaluate,
    follow,
    init,
    plan,
    rank,
    record,
    replay,
    report,
    run,
    samples,
    submit,
)
from rlready.cli import compile as compile_
from rlready.cli.arguments import annotate_errors, check_work
from rlready.cli.style import print_error
from rlready.errors import InputError

# In the order in which a newcomer needs them.
COMMANDS = {
    "init": init,
    "run": run,
    "rank": rank,
    "report": report,
    "samples": samples,
    "replay": replay,
    "record": record,
    "calibrate": calibrate,
    "plan": plan,
    "evaluate": evaluate,
    "clean": clean,
    "doctor": doctor,
    "compile": compile_,
    "submit": submit,
    "follow": follow,
}
START = """\
start with:
  rlready run --recipe laptop   the experiment in miniature, in seven minutes
  rlready COMMAND --help        an example; of run every parameter too
"""
CLOSED = 128 + 13  # what a shell says of a program whose reader went away (SIGPIPE)


class Columns(argparse.RawDescriptionHelpFormatter):
    """Leaves the names of commands room enough to have their texts beside them; argparse forgets their indentation."""

    def __init__(self, prog: str):
        super().__init__(prog)
        self._action_max_length = max(map(len, COMMANDS)) + 4


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    about = "Decides, before the expensive part, which checkpoints are worth RL."
    # argparse would give lines to -h and to a heading, and with all commands the help would not fit one screen.
    listed = "\n".join(f"    {name:<11}{module.TEXT}" for name, module in COMMANDS.items())
    epilog = f"commands:\n{listed}\n\n{START}"
    parser = argparse.ArgumentParser(
        prog="rlready",
        usage="rlready COMMAND ...",
        description=about,
        epilog=epilog,
        add_help=False,
        formatter_class=Columns,
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(prog="rlready", required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.TEXT, description=module.TEXT, formatter_class=Columns)
        command.set_defaults(execute=module.execute)
        module.add_arguments(command)
        command.epilog = "\n\n".join([f"example:\n  {module.EXAMPLE}", *filter(None, [command.epilog])])
    return parser


def main() -> None:
    """Runs the command line; what the user got wrong is told without a traceback, with exit status 2."""
    arguments = build_parser().parse_args()
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # so that no process imports a module of the folder where it starts
    try:
        if not sys.flags.utf8_mode and codecs.lookup(locale.getencoding()).name != "utf-8":
            raise InputError(f"the locale's encoding is {locale.getencoding()}, but files are UTF-8; set PYTHONUTF8=1")
        if "work" in arguments:
            check_work(arguments.work)
        with annotate_errors(arguments):
            arguments.execute(arguments)
        sys.stdout.flush()
    except InputError as error:
        print_error(error)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # `rlready plan | head`: Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED)
