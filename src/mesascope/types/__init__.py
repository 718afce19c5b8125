"""The vocabulary: the values that flow from tasks to reports, and the protocols that tasks and subjects keep.

One direction of flow::

    task -> Prompts -> subject.trace -> Trace -> instrument -> Measurement -> Record -> report
                 \\---> algorithm.run -> Iterates --/

Axis names used in every shape: ``batch example dim query step layer head position width vocab member output``.
On the ``position`` axis of an activation the queries always come last.
"""

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
    PrescribableTask,
    SizedTask,
    Task,
    adjusted,
    check_keeps_task,
    label_noise,
    lacking,
)

__all__ = (
    "Answer",
    "BrokenSubject",
    "CandidateScore",
    "Control",
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
    "LinearTask",
    "Measurement",
    "NoisyTask",
    "Outcome",
    "PrescribableTask",
    "Prompts",
    "PublishedFigure",
    "Record",
    "Scalar",
    "Site",
    "SizedTask",
    "Sizes",
    "Status",
    "StudyResult",
    "Subject",
    "Task",
    "Trace",
    "Verdict",
    "adjusted",
    "bounds",
    "check_description",
    "check_keeps_task",
    "label_noise",
    "lacking",
    "table",
)
