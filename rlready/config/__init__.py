"""Every parameter once: its name, type, default with its source, choices, bounds and text. Standard library only.

The sections' dataclasses are the single source of the flat parameters that the KFP form, the recipes and `--set` use: the
field `k` of the section `gate` is the parameter `gate_k`. (Pydantic would check the bounds too, but not in our words, and
would make every light stage a third slower to start.)
"""

from rlready.config.curation import SUBSETS, Curate
from rlready.config.experiment import (
    RACE,
    SECTIONS,
    Experiment,
    check_keys,
    complete_parameters,
    find_faults,
    fold_parameters,
    list_form,
    list_parameters,
    name_fields,
    parse_parameters,
)
from rlready.config.knob import Parameter, coerce, knob
from rlready.config.parameters import Base, Benchmark, Gate, Predictors, Race, Rl, Samples, Sampling, Sft, Sweep, Training
from rlready.config.settings import STAGE_READS, read_settings, write_settings

__all__ = ["RACE", "SECTIONS", "STAGE_READS", "SUBSETS", "Experiment", "Parameter", "Sweep", "Training"]
__all__ += ["Base", "Benchmark", "Curate", "Gate", "Predictors", "Race", "Rl", "Samples", "Sampling", "Sft"]
__all__ += ["check_keys", "coerce", "complete_parameters", "find_faults", "fold_parameters", "knob", "list_form"]
__all__ += ["list_parameters", "name_fields", "parse_parameters", "read_settings", "write_settings"]
