"""How many epochs and iterations fit into a time."""

from collections.abc import Sequence
from dataclasses import dataclass

EPOCHS = 40  # points of the curves; a learning rate changes from epoch to epoch
FEWEST_EPOCHS = 6  # FocusNet has four stages
LARGEST_OVERHEAD = 0.2  # share of the time that may go into validation, checkpoints and plots
RECENT_EPOCHS = 5


@dataclass(frozen=True)
class Speed:
    """What a trainer's epochs take.

    Attributes:
        step_seconds: of one training step with its share of data loading, by stage.
        overhead_seconds: of all else in an epoch: validation, checkpoint, plot.
    """

    step_seconds: dict[str, float]
    overhead_seconds: float

    def seconds(self, stages: Sequence[str], iterations: Sequence[int]) -> float:
        """Expected time of epochs in these stages."""
        steps = sum(self.step_seconds[stage] * n for stage, n in zip(stages, iterations, strict=True))
        return steps + self.overhead_seconds * len(stages)

    def iterations_that_fit(self, stages: Sequence[str], seconds: float, slowdown: float = 1.0) -> int:
        """Iterations per epoch with which epochs in these stages take this time together; one at least.

        Args:
            stages: of the epochs to come.
            seconds: that are left.
            slowdown: factor on all expected times.
        """
        one_each = self.seconds(stages, [1] * len(stages)) - self.seconds(stages, [0] * len(stages))
        return max(1, int((seconds / slowdown - self.overhead_seconds * len(stages)) / one_each))


def choose_epochs(seconds: float, overheads: Sequence[float]) -> int:
    """Epochs for all trainers alike: fewer than 40 only where the slowest one's overhead would eat up the time."""
    return min(EPOCHS, max(FEWEST_EPOCHS, int(LARGEST_OVERHEAD * seconds / max(overheads))))


@dataclass(frozen=True)
class Pace:
    """Ends a schedule on time: iterations of the next epoch follow from the time that is left.

    A machine is never as fast as measured; all trainers get the same time nevertheless, and finish their schedules.
    """

    speed: Speed
    seconds: float

    def next_iterations(
        self, stages: Sequence[str], iterations: Sequence[int], durations: Sequence[float], extra_seconds: float = 0.0
    ) -> int:
        """Iterations of the epoch after those that are done.

        Args:
            stages: of all epochs of the schedule.
            iterations: of the epochs done.
            durations: their seconds.
            extra_seconds: spent besides.
        """
        done = len(durations)
        recent = slice(max(0, done - RECENT_EPOCHS), done)
        expected = self.speed.seconds(stages[recent], iterations[recent])
        slowdown = sum(durations[recent]) / expected if done else 1.0
        left = self.seconds - sum(durations) - extra_seconds
        return self.speed.iterations_that_fit(stages[done:], left, slowdown)
