"""Questions to the history, in the words that people use: host, image, digest, mirror, outcome, since, until, by, rollout.

One door to both files of questions: what came of updates, and how rollouts stand.
"""

from fleet.history.questions.outcome_filter import OutcomeFilter as OutcomeFilter
from fleet.history.questions.outcome_queries import AttemptRow as AttemptRow
from fleet.history.questions.outcome_queries import OutcomeDetail as OutcomeDetail
from fleet.history.questions.outcome_queries import OutcomeRow as OutcomeRow
from fleet.history.questions.outcome_queries import PullRow as PullRow
from fleet.history.questions.outcome_queries import outcome as outcome
from fleet.history.questions.outcome_queries import outcomes as outcomes
from fleet.history.questions.rollout_queries import ProgressRow as ProgressRow
from fleet.history.questions.rollout_queries import RolloutDetail as RolloutDetail
from fleet.history.questions.rollout_queries import RolloutHostRow as RolloutHostRow
from fleet.history.questions.rollout_queries import RolloutRow as RolloutRow
from fleet.history.questions.rollout_queries import WaveRow as WaveRow
from fleet.history.questions.rollout_queries import progress as progress
from fleet.history.questions.rollout_queries import rollout as rollout
from fleet.history.questions.rollout_queries import rollout_number as rollout_number
from fleet.history.questions.rollout_queries import rollouts as rollouts
