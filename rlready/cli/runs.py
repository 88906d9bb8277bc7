"""rlready runs."""

import re
import time

from rlready.analysis.sweep_result import read_sweep
from rlready.cli.command import START_ONE, WORK, Arguments, Command, find_work, print_result, shorten
from rlready.cli.result import answer
from rlready.errors import InputError
from rlready.run.local.storage import PARAMETERS, RESULT

COMMAND = Command("runs", "rlready runs", WORK)


def execute(arguments: Arguments) -> None:
    """Prints name, date, recipe, result and folder of every run in the work folder, the newest first."""
    work = find_work(arguments)
    begun = {path.parent: path.stat().st_mtime for name in (RESULT, PARAMETERS) for path in work.glob(f"*/{name}")}
    if not begun:
        raise InputError(f"{work}: no run here; {START_ONE}")
    for folder in sorted(begun, key=lambda folder: begun[folder], reverse=True):
        print_result("run", folder.name)
        print_result("date", time.strftime("%Y-%m-%d %H:%M", time.localtime(begun[folder])))
        print_result("recipe", re.sub(r"-\d{8}-\d{6}$", "", folder.name))
        try:
            said = (
                re.split(r"(?<=\.) ", answer(read_sweep(folder / RESULT)))[0] if (folder / RESULT).exists() else "not finished"
            )
        except InputError as error:
            said = str(error)
        print_result("result", said)
        print_result("folder", f"{shorten(folder)}\n")
