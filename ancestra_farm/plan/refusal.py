"""The one way in which planning says no."""


class PlanRefused(ValueError):
    """A batch that can never be made as it stands; the message names the shot and stage and what would be right.

    `batch.check` finds most of these with their line in the file; the plan refuses what only exact lengths show.
    """
