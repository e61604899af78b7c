"""Tests look into a fit at its blocks and passes, on any version of scikit-learn."""


class Watching:
    """What is told of the end of each block, each pass and the fit."""

    def hear(self, task):
        """Hear that a "block", a "pass" or the "fit" ended; return whether to stop."""

    def begin_pass(self, progress):
        pass

    def end_block(self, event):
        return bool(self.hear("block"))

    def end_pass(self, progress):
        return bool(self.hear("pass"))


class Finishing:
    """Passes that tell somebody of their end."""

    def __init__(self, passes, watching):
        self._passes, self._watching = passes, watching

    def finish(self, progress):
        progress = self._passes.finish(progress)
        self._watching.hear("fit")
        return progress


def watched(model, watching):
    """Let a wrapper tell of its next fit, where callbacks would be told of it."""
    plan = model._plan_passes

    def plan_passes(session, observers):
        del model._plan_passes
        return Finishing(plan(session, [watching, *observers]), watching)

    model._plan_passes = plan_passes
    return model
