"""The utility study: its data, its numbers, its report. The trainings are the engine's."""
