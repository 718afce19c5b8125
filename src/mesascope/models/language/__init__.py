"""Language models as subjects: problems written as text, answers read from digits or whole numbers."""

from mesascope.models.language.baselines import baselines
from mesascope.models.language.families import FAMILIES, Family
from mesascope.models.language.lens import answers_by_layer
from mesascope.models.language.network import Network
from mesascope.models.language.numbers import NumberScores, score_numbers
from mesascope.models.language.published import published_template
from mesascope.models.language.regressor import LanguageRegressor
from mesascope.models.language.replying import Decoding, Replies, replies
from mesascope.models.language.sequences import SequenceReading, read_sequences
from mesascope.models.language.subject import LanguageSubject, with_template
from mesascope.models.language.template import Numbers, Template

__all__ = (
    "FAMILIES",
    "Decoding",
    "Family",
    "LanguageRegressor",
    "LanguageSubject",
    "Network",
    "NumberScores",
    "Numbers",
    "Replies",
    "SequenceReading",
    "Template",
    "answers_by_layer",
    "baselines",
    "published_template",
    "read_sequences",
    "replies",
    "score_numbers",
    "with_template",
)
