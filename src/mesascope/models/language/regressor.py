"""A language model as a regressor: it reads each prompt's numbers as text, and its answer is the number that it writes."""

from dataclasses import dataclass, field
from typing import Literal, final

from jaxtyping import Float
from torch import Tensor

from mesascope.models.language.published import published_template
from mesascope.models.language.replying import Decoding, replies
from mesascope.models.language.subject import LanguageSubject, with_template
from mesascope.models.language.template import Template
from mesascope.regressors import check_examples
from mesascope.types import Prompts

Text = Literal["published", "own"]
"""How prompts are written: as language models were compared with regressors, or by the model's own template."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LanguageRegressor:
    """A language model under the regressors' interface (`mesascope.regressors.Regressor`).

    Attributes:
        subject: the model.
        text: how prompts are written.
        decoding: how an answer is decoded. With samples the answer is their median, over those that hold a number; without,
            the number in the likeliest text.
    """

    subject: LanguageSubject
    text: Text | Template = "published"
    decoding: Decoding = field(default_factory=Decoding)

    @property
    def name(self) -> str:
        return self.subject.name

    def predict(self, prompts: Prompts, *, seed: int = 0) -> Float[Tensor, "batch query"]:
        """The answers; NaN where the model writes no number. See `mesascope.regressors.Regressor`.

        Raises:
            ValueError: besides, prompts that do not fit the template or the model's context.
        """
        check_examples(prompts)
        found = replies(written_as(self.subject, prompts, self.text), prompts, decoding=self.decoding, seed=seed)
        return found.answers.to(prompts.ys.dtype)


def written_as(subject: LanguageSubject, prompts: Prompts, text: Text | Template) -> LanguageSubject:
    """The model with a template that suits the prompts.

    Raises:
        ValueError: its tokenizer cannot express the template.
    """
    if text == "own":
        return subject
    return with_template(subject, published_template(prompts) if isinstance(text, str) else text)


__all__ = ("LanguageRegressor", "Text", "written_as")
