# The Python API. Its names are listed only here: `__init__.py` imports each when it is first used.
from rlready.analysis.curves import read_curves as read_curves
from rlready.analysis.curves import write_curves as write_curves
from rlready.analysis.policy_table import PolicyScore as PolicyScore
from rlready.analysis.policy_table import score_policies as score_policies
from rlready.analysis.sweep_result import SweepResult as SweepResult
from rlready.analysis.sweep_result import read_sweep as read_sweep
from rlready.config.parameters import Gate as Gate
from rlready.errors import InputError as InputError
from rlready.gate.decide import decide as decide
from rlready.gate.lead import Lead as Lead
from rlready.gate.lead import measure_lead as measure_lead
from rlready.measured.log import MeasuredLog as MeasuredLog
from rlready.measured.loss import MeasuredLoss as MeasuredLoss
from rlready.measured.loss import read_loss as read_loss
from rlready.measured.read import load_candidates as load_candidates
from rlready.measured.read import load_samples as load_samples
from rlready.measured.sweep import rank as rank
from rlready.records.candidate import Candidate as Candidate
from rlready.records.outcome import Outcome as Outcome
from rlready.records.outcome import PredictorsRecord as PredictorsRecord
from rlready.records.outcome import SampleStatistics as SampleStatistics
from rlready.records.verdicts import Verdict as Verdict
from rlready.stages.report.report import Report as Report
from rlready.stages.report.report import report as report
from rlready.stats.pass_at_k import Estimate as Estimate
from rlready.stats.pass_at_k import estimate_pass_at_k as estimate_pass_at_k
from rlready.verifier.formats.format import Judgement as Judgement
from rlready.verifier.judgement import judge as judge

__all__: list[str]
