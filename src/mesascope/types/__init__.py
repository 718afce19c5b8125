"""The vocabulary: the values that flow from tasks to reports, and the protocols that tasks and subjects satisfy.

One direction of flow::

    task -> Prompts -> subject.trace -> Trace -> instrument -> Measurement -> Record -> report
                 \\---> algorithm.run -> Iterates --/

Axis names used in every shape: ``batch example dim query step layer head position width vocab member output``.
A `Layout` gives the places of inputs, labels and queries on the ``position`` axis of an activation; in a subject that states no
layout, the queries are last.
"""

from mesascope.types.abilities import (
    AnswersEverywhere,
    DeclaresState,
    HasHistory,
    Reinitialisable,
    Specified,
    StatesLayout,
    answering_everywhere,
    history,
    spec_mapping,
    spec_of,
    stated_layout,
    untrained_twin,
)
from mesascope.types.descriptions import (
    Description,
    Explanation,
    FilterPoint,
    LayerFilter,
    NamedFunction,
    Rung,
    RungKind,
)
from mesascope.types.layout import Layout, interleaved
from mesascope.types.problems import (
    Iterates,
    Prompts,
    Sizes,
    Status,
)
from mesascope.types.results import (
    Answer,
    CandidateScore,
    Control,
    DistributionVerdict,
    Figure,
    Findings,
    Label,
    Measured,
    Measurement,
    Record,
    Scalar,
    Verdict,
    bounds,
    table,
)
from mesascope.types.studies import (
    Evidence,
    Judgement,
    Outcome,
    PublishedFigure,
    StudyResult,
)
from mesascope.types.subjects import (
    BrokenSubject,
    Domain,
    Intervention,
    Site,
    Subject,
    Trace,
    check_description,
)
from mesascope.types.tasks import (
    LinearTask,
    NoisyTask,
    PooledTask,
    PrescribableTask,
    SizedTask,
    Task,
    adjusted,
    check_keeps_task,
    is_prescribable,
    label_noise,
    lacking,
)

__all__ = (
    "history",
    "RungKind",
    "Rung",
    "NamedFunction",
    "LayerFilter",
    "FilterPoint",
    "Explanation",
    "Description",
    "Answer",
    "AnswersEverywhere",
    "BrokenSubject",
    "CandidateScore",
    "Control",
    "DeclaresState",
    "DistributionVerdict",
    "Domain",
    "Evidence",
    "Figure",
    "Findings",
    "Intervention",
    "Iterates",
    "Judgement",
    "Label",
    "Measured",
    "Layout",
    "LinearTask",
    "Measurement",
    "NoisyTask",
    "PooledTask",
    "Outcome",
    "PrescribableTask",
    "Prompts",
    "PublishedFigure",
    "Record",
    "HasHistory",
    "Reinitialisable",
    "Scalar",
    "Site",
    "SizedTask",
    "Sizes",
    "Specified",
    "StatesLayout",
    "Status",
    "StudyResult",
    "Subject",
    "Task",
    "Trace",
    "Verdict",
    "adjusted",
    "answering_everywhere",
    "bounds",
    "check_description",
    "check_keeps_task",
    "interleaved",
    "is_prescribable",
    "label_noise",
    "lacking",
    "spec_mapping",
    "spec_of",
    "stated_layout",
    "table",
    "untrained_twin",
)
