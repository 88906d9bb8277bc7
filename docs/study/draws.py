"""The commands of the second study, to be piped to a shell: python docs/study/draws.py laptop-study (or countdown).

Each draw of the data has its own settings. Draw 1, on which gate and race are learned, has twelve with two seeds: no SFT, eight
random subsets and one of each other kind. Draws 2 to 11 test them: no SFT, six random subsets and one of another kind. One more
command repeats draw 2 with eight times the problems of RL.
"""

import json
import random
import sys

LEARNING, DRAWS, SEEDS = 1, range(1, 12), (1, 2)
EPOCHS, EXAMPLES, RATES = (1, 2, 4, 8, 16, 32), (64, 128, 256, 512, 1024), (0.0003, 0.001)
MOST = 8192  # examples x epochs
OTHERS = ("shortest", "longest", "mixed")
FEW, MANY = 1088, 8256  # problems of RL, 64 of them for validation


def draw_settings(draw: int) -> list[dict]:
    """Returns the settings of a draw, all different."""
    rng = random.Random(f"study 2, draw {draw}")
    others = OTHERS if draw == LEARNING else [OTHERS[draw % len(OTHERS)]]
    settings: list[dict] = [{"epochs": 0}]
    drawn = 9 if draw == LEARNING else 7  # drawn at random
    while len(settings) < drawn + len(others):
        setting = {"epochs": rng.choice(EPOCHS), "examples": rng.choice(EXAMPLES), "learning_rate": rng.choice(RATES)}
        kind = others[len(settings) - drawn] if len(settings) >= drawn else "random"
        # A subset of all 1,024 examples is the same whichever it is.
        if setting["epochs"] * setting["examples"] <= MOST and (kind == "random" or setting["examples"] < EXAMPLES[-1]):
            setting |= {"subset": kind}
            settings += [setting] if setting not in settings else []
    return settings


def write_command(recipe: str, draw: int, problems: int = FEW) -> str:
    """Returns the command that runs a draw; the same command resumes it."""
    values = {
        "sweep_candidates": draw_settings(draw),
        "sweep_seeds": SEEDS if draw == LEARNING else SEEDS[:1],
        "curate_seed": draw,
        "curate_rl_problems": problems,
        "curate_predictor_problems": 128,
        "rl_eval_steps": 40,
        "benchmark_coverage_samples": 0,
    }
    changes = " ".join(f"--set '{name}={json.dumps(value)}'" for name, value in values.items())
    return f"rlready run --recipe {recipe} {changes} --work runs/{recipe}-{problems}-{draw}"


if __name__ == "__main__":
    task = sys.argv[1]
    print("\n".join([*(write_command(task, draw) for draw in DRAWS), write_command(task, 2, MANY)]))
