"""The vocabulary of the language models that are trained here: one token per character, and one that begins every text."""

import functools
import string
from typing import Any

from mesascope.models.language.template import Template

CHARACTERS = string.digits + ":\n" + string.ascii_lowercase
"""The characters, in the order of their tokens."""
BEGIN = len(CHARACTERS)
"""The token that begins every text."""
PAIRS = Template(before_input="", before_label=":", after_label="\n")
"""How these models see a pair: its input, a colon, its label, and the end of the line."""


@functools.cache
def tokenizer() -> Any:
    """The tokenizer of this vocabulary, as transformers has it."""
    import tokenizers
    import transformers
    from tokenizers import models, pre_tokenizers, processors

    begin = "<s>"
    words = {word: i for i, word in enumerate([*CHARACTERS, begin])}
    core = tokenizers.Tokenizer(models.WordLevel(vocab=words, unk_token=begin))
    core.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    core.post_processor = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, BEGIN)])
    # The token of characters that there are none for: naming it lets a template with such a character be refused.
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, bos_token=begin, unk_token=begin)
