"""Stage 2 of training: the generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthesis.training_command import TrainingCommand

if TYPE_CHECKING:
    from synthesis.engine.training.config import TrainingConfig
    from synthesis.engine.training.run import Result
    from synthesis.engine.training.team import Team


class Command(TrainingCommand):
    help = (
        "Train the generator (stage 2) against the segmentor of stage 1, on labelled and "
        "unlabelled volumes. Start it through torchrun to use several processes or GPUs."
    )

    def train(self, config: TrainingConfig, team: Team, *, resume: bool) -> Result:
        from synthesis.engine.training.generator import train_generator

        return train_generator(config, team=team, say=self.say, resume=resume)
