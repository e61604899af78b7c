"""Tests look into a fit at its blocks and passes, on any version of scikit-learn."""


class Watching:
    """What is told of the end of each block, each pass and the fit."""

    def hear(self, task):
        """Hear that a "block", a "pass" or the "fit" ended; return whether to stop."""

    def begin_pass(self, progress, n_blocks):
        pass

    def end_block(self, progress, load):
        return bool(self.hear("block"))

    def end_pass(self, progress):
        return bool(self.hear("pass"))


def watched(model, watching):
    """Let a wrapper tell of its next fit, where callbacks would be told of it."""
    plan = model._plan_passes

    def plan_passes(training):
        del model._plan_passes
        passes = plan(training)
        finish = passes.finish

        def finish_watched(progress):
            passes.observers = [watching, *passes.observers]
            progress = finish(progress)
            watching.hear("fit")
            return progress

        passes.finish = finish_watched
        return passes

    model._plan_passes = plan_passes
    return model
