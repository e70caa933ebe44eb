"""Stage 1 of training: the segmentor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthesis.training_command import TrainingCommand

if TYPE_CHECKING:
    from synthesis.engine.training.config import TrainingConfig
    from synthesis.engine.training.run import Result
    from synthesis.engine.training.team import Team


class Command(TrainingCommand):
    help = (
        "Train the segmentor (stage 1) on labelled volumes, each of which may name only some of "
        "the organs. Start it through torchrun to use several processes or GPUs."
    )

    def train(self, config: TrainingConfig, team: Team, *, resume: bool) -> Result:
        from synthesis.engine.training.segmentor import train_segmentor

        return train_segmentor(config, team=team, say=self.say, resume=resume)
