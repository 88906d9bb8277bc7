"""Which step of a training was best."""

from itertools import permutations

from rlready.stats.steps import Steps


def test_of_steps_that_tie_the_first_is_best_whatever_the_order_of_the_problems():
    """Floats round the mean of 0.3, 0.2 and 0.1 differently in another order."""
    for counts in permutations([1, 2, 3]):
        right = [[0, 0, 0], [3, 2, 1], counts]
        steps = Steps.of(right, [[0, 0, 0]] * 3, 10, 3)
        assert steps.find_best() == 1 and steps.choose_latest() == 2
