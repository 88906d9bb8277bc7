"""What every row of the table is made of: the same work done by rlready and by another, in turns, within one run."""

import gc
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

MEMORY_EVERY = 0.2  # seconds between two looks at a process's memory


@dataclass(frozen=True)
class Cost:
    """What some work took."""

    wall: float  # seconds
    cores: float  # core-seconds of this process and its children: what other load on the machine changes least
    amount: float  # units of work done
    memory: float = 0.0  # GB at most, 0 if it was not looked at


def core_seconds() -> float:
    """Returns the core-seconds used by this process and its children, living or dead."""
    living = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
            living += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    dead = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + living + dead.ru_utime + dead.ru_stime


def measure(work: Callable[[], float]) -> Cost:
    """Does some work, which returns its amount."""
    gc.collect()
    gc.freeze()  # what other works have left in memory is not this one's to look through
    cores, wall = core_seconds(), time.perf_counter()
    amount = work()
    return Cost(time.perf_counter() - wall, core_seconds() - cores, amount)


def measure_python(code: str, *arguments: object, amount: float = 1.0) -> Cost:
    """Runs Python code in a process of its own.

    The memory is the sum over it and its children, of which each counts what it shares by the fork: an upper bound.
    """
    os.sync()  # what the process before left to be written is not this one's work
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = psutil.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        try:
            most = max(most, sum(member.memory_info().rss for member in [process, *process.children(recursive=True)]))
        except psutil.NoSuchProcess:
            continue
        time.sleep(MEMORY_EVERY)
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode}")
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cores, amount, most / 2**30)


def take_turns(works: dict[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    """Returns the costs of each work, done in turns so that the load of other processes meets all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            costs[name].append(work())
            print(f"  {name}: {show_cost(costs[name])}", file=sys.stderr, flush=True)
    return costs


def show_cost(costs: Iterable[Cost]) -> str:
    """Returns the median rate per second and per core-second."""
    costs = list(costs)
    walls, cores = ([cost.amount / max(getattr(cost, name), 1e-9) for cost in costs] for name in ("wall", "cores"))
    memory = max(cost.memory for cost in costs)
    shown = f"{show(statistics.median(walls))}/s, {show(statistics.median(cores))} per core-second"
    return shown + (f", at most {memory:.2f} GB" if memory else "")


def show(number: float) -> str:
    """Returns a number with three digits that count."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def print_pairs(what: str, costs: dict[str, list[Cost]]) -> None:
    """Prints a row of the table for each other work: the first is rlready's.

    The ratio is the median over rounds of how many times the other's cost per unit is rlready's: above 1 rlready is faster.
    """
    (own, ours), *others = costs.items()
    for name, theirs in others:
        ratios = []
        for measured in ("cores", "wall"):
            rates = [
                (getattr(b, measured) / b.amount) / max(getattr(a, measured) / a.amount, 1e-9)
                for a, b in zip(ours, theirs, strict=True)
            ]
            ratios.append(f"{statistics.median(rates):.2f}")
        print(f"| {what} | {own}: {show_cost(ours)} | {name}: {show_cost(theirs)} | {' | '.join(ratios)} |", flush=True)


def print_growth(what: str, costs: dict[int, Cost]) -> None:
    """Prints core-seconds by size, and the exponent of the power law through them: least squares of the logarithms."""
    sizes, seconds = [math.log(size) for size in costs], [math.log(max(cost.cores, 1e-9)) for cost in costs.values()]
    exponent = statistics.linear_regression(sizes, seconds).slope
    last = (seconds[-1] - seconds[-2]) / (sizes[-1] - sizes[-2])
    shown = ", ".join(f"{size:,}: {show(cost.cores)}" for size, cost in costs.items())
    print(f"| {what}, core-seconds | {shown} | exponent {exponent:.2f}, {last:.2f} between the last two | | |", flush=True)
