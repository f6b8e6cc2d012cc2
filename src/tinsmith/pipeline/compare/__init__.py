"""Whether to fine-tune at all: prompted, retrieving and tuned systems on one recipe's test set, and a verdict.

Everything is kept in the comparison's folder and brought up to date like a run's stages: trainings in runs of
their own, answers by system. So a comparison that was killed goes on, and one that is finished asks nothing
again."""
