"""The vocabulary: the values that flow from tasks to reports, and the protocol that every subject keeps.

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
    "Measurement",
    "Outcome",
    "Prompts",
    "PublishedFigure",
    "Record",
    "Scalar",
    "Site",
    "Sizes",
    "Status",
    "StudyResult",
    "Subject",
    "Trace",
    "Verdict",
    "bounds",
    "check_description",
    "table",
)
