"""The commands of the second study, to be piped to a shell: python docs/study/draws.py laptop-study (or countdown).

Each draw of the data has its own settings: no SFT, eight random subsets and one of each other kind. Thresholds are learned on
draws 1 and 2, which have two seeds; 3 to 12 test them. Two more commands repeat 3 and 4 with eight times the problems of RL.
"""

import json
import random
import sys

DRAWS, LEARNING, SEEDS = 12, (1, 2), (1, 2)
EPOCHS, EXAMPLES, RATES = (1, 2, 4, 8, 16, 32), (64, 128, 256, 512, 1024), (0.0003, 0.001)
MOST = 8192  # examples x epochs
OTHERS = ("shortest", "longest", "mixed")
FEW, MANY = 1088, 8256  # problems of RL, 64 of them for validation


def draw_settings(draw: int) -> list[dict]:
    """Returns the settings of a draw, all different."""
    rng = random.Random(f"study 2, draw {draw}")
    settings: list[dict] = [{"epochs": 0}]
    while len(settings) < 9 + len(OTHERS):
        setting = {"epochs": rng.choice(EPOCHS), "examples": rng.choice(EXAMPLES), "learning_rate": rng.choice(RATES)}
        kind = OTHERS[len(settings) - 9] if len(settings) >= 9 else "random"
        # A subset of all 1,024 examples is the same whichever it is.
        if setting["epochs"] * setting["examples"] <= MOST and (kind == "random" or setting["examples"] < EXAMPLES[-1]):
            setting |= {"subset": kind}
            settings += [setting] if setting not in settings else []
    return settings


def write_command(recipe: str, draw: int, problems: int = FEW) -> str:
    """Returns the command that runs a draw; the same command resumes it."""
    values = {
        "sweep_candidates": draw_settings(draw),
        "sweep_seeds": SEEDS if draw in LEARNING else SEEDS[:1],
        "curate_seed": draw,
        "curate_rl_problems": problems,
        "curate_predictor_problems": 128,
        "rl_eval_steps": 40,
        "benchmark_coverage_samples": 0,
        "gate_mode": "audit",
    }
    changes = " ".join(f"--set '{name}={json.dumps(value)}'" for name, value in values.items())
    return f"rlready run --recipe {recipe} {changes} --work runs/{recipe}-{problems}-{draw}"


if __name__ == "__main__":
    task = sys.argv[1]
    print("\n".join([write_command(task, draw) for draw in range(1, DRAWS + 1)]))
    print("\n".join(write_command(task, draw, MANY) for draw in (3, 4)))
