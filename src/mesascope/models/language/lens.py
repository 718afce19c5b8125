"""The answer after every layer, by the logit lens restricted to the digits: only what is read is unembedded."""

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.models.language.passes import read, unembed
from mesascope.models.language.subject import LanguageSubject, expected_number
from mesascope.models.language.writing import encode
from mesascope.types import Prompts, Site


def answers_by_layer(subject: LanguageSubject, prompts: Prompts) -> Float[Tensor, "layer batch query"]:
    """The expected digit in the stream before the first layer and after each layer; the last row gives the subject's answers.

    Raises:
        ValueError: the prompts do not fit the subject, or its labels are not single digits.
    """
    logits = digit_logits(subject, prompts)
    return expected_number(logits, subject.writing)


@torch.no_grad()
def digit_logits(subject: LanguageSubject, prompts: Prompts) -> Float[Tensor, "layer batch query vocab"]:
    """The logits of the answers' tokens in the stream before the first layer and after each layer."""
    subject.domain.check(prompts)
    at = subject.layout(prompts.examples, prompts.queries.shape[1]).answers
    stream = read(subject.network, encode(subject.writing, prompts), (Site(kind="embed"), *subject.path), at)
    return unembed(subject.network, stream, torch.tensor(subject.writing.answers))
