"""What a language model writes after a text, token by token: the text is read once, and every continuation goes on from there."""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.machine.memory import check_memory, memory
from mesascope.models.language.network import Network
from mesascope.models.language.passes import additive

CHUNK = 256
"""Tokens read at once: longer runs take more memory and, for the attention scores, more time."""
MOST_ROWS = 8
"""Continuations computed side by side: with more of them a small model gains nothing."""
SHARE = 8
"""Continuations side by side hold at most this share (one in so many) of the machine's memory."""
Pick = Callable[[int, Float[Tensor, "row vocab"]], Int[Tensor, " row"]]
"""Chooses each row's next token from its logits; it also gets the number of tokens that were chosen before."""


class TooLong(ValueError):
    """A text is longer than a model's context."""


@final
class Reading:
    """A text that a model is reading. What it holds of the text (keys and values) is kept for what follows.

    Args:
        network: the model. Its own code computes masks and positions, so that each token is computed as in a plain pass.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        from transformers import DynamicCache

        self._cache = DynamicCache()
        self._length = 0
        self._last: list[Tensor] = []  # the logits after each run of tokens that `take_back` can return to

    @torch.no_grad()
    def read(self, ids: Sequence[int]) -> None:
        """Read on.

        Raises:
            TooLong: more tokens than the model's context holds.
            ValueError: no tokens, or more than this machine has memory for.
        """
        longest, context = self._length + len(ids), self.network.context
        if not ids:
            raise ValueError("ids must hold at least one token to read on; got none.")
        if longest > context:
            raise TooLong(
                f"prompts must have at most {context} tokens, which is this model's context; got one of {longest} or more. "
                "Show fewer examples."
            )
        self._check_memory(len(ids))
        for start in range(0, len(ids), CHUNK):
            logits = self._step(torch.tensor([ids[start : start + CHUNK]]), last_only=True)
        self._last.append(logits[0, -1])

    def take_back(self, count: int) -> None:
        """Forget what the last call of `read` read: so many tokens."""
        self._forget(count)
        self._last.pop()

    @torch.no_grad()
    def continued(self, rows: int, pick: Pick, longest: int) -> list[list[int]]:
        """The tokens of several continuations; the text stays as it was.

        Args:
            rows: how many.
            pick: chooses the next tokens.
            longest: number of tokens in each.
        """
        logits, found = self._last[-1].expand(rows, -1), list[Tensor]()
        room = self.network.context - self._length
        self._widen(rows)
        for count in range(longest):
            found.append(pick(count, logits))
            if count + 1 == min(longest, room):
                break
            logits = self._step(found[-1][:, None].cpu())[:, -1]
        self._narrow(len(found) - 1)
        return torch.stack(found, 1).tolist()

    @torch.no_grad()
    def log_probabilities(self, words: Sequence[Sequence[int]]) -> list[Float[Tensor, " position"]]:
        """For each of several continuations, the log-probability of each of its tokens, in nats; the text stays as it was.

        All are computed in one pass, in which none sees another; but one by one by code that counts positions as they stand.
        """
        if self.network.family.counts_positions and len(words) > 1:
            return [found for word in words for found in self.log_probabilities([word])]
        if not words:
            return []
        flat = torch.tensor([token for word in words for token in word])
        sizes = [len(word) for word in words]
        owner = torch.arange(len(words)).repeat_interleave(torch.tensor(sizes))
        place = self._length + torch.cat([torch.arange(size) for size in sizes])
        later = self._step(flat[None], mask=self._apart(owner, place), position_ids=place[None])[0]
        self._forget(len(flat))
        begins = place == self._length
        before = torch.where(begins[:, None].to(later.device), self._last[-1], later.roll(1, 0)).log_softmax(-1)
        chosen = before.gather(1, flat[:, None].to(before.device))[:, 0]
        return list(chosen.float().cpu().split(sizes))

    def rows(self) -> int:
        """How many continuations are computed side by side: as many as memory allows, up to `MOST_ROWS`."""
        return max(1, min(MOST_ROWS, memory() // SHARE // max(1, self._size())))

    def _step(
        self,
        ids: Int[Tensor, "row position"],
        *,
        last_only: bool = False,
        mask: Tensor | dict[str, Tensor] | None = None,
        position_ids: Int[Tensor, "row position"] | None = None,
    ) -> Float[Tensor, "row _ vocab"]:
        """Go on by some tokens, and return the logits after each, or after the last."""
        out = self.network.model(
            input_ids=ids.to(self.network.device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1 if last_only else 0,
            attention_mask=mask,
            position_ids=None if position_ids is None else position_ids.to(self.network.device),
        )
        self._length += ids.shape[1]
        return out.logits

    def _apart(self, owner: Int[Tensor, " position"], place: Int[Tensor, " position"]) -> Tensor | dict[str, Tensor]:
        """What is added to attention scores of tokens that see the text, and of one another only their own word's earlier ones.

        Args:
            owner: which word each token belongs to.
            place: where in the text it would stand.
        """
        among = (owner[:, None] == owner) & (place[:, None] >= place)
        seen = torch.cat([torch.ones(len(owner), self._length, dtype=torch.bool), among], 1)
        keys = torch.cat([torch.arange(self._length), place])
        return additive(self.network, seen[None], place[None, :, None] - keys)

    def _widen(self, rows: int) -> None:
        self._cache.batch_repeat_interleave(rows)

    def _narrow(self, count: int) -> None:
        """Back to one row, without its last tokens."""
        self._cache.batch_select_indices(torch.zeros(1, dtype=torch.long, device=self.network.device))
        self._forget(count)

    def _forget(self, count: int) -> None:
        self._cache.crop(-count)
        self._length -= count

    def _size(self) -> int:
        """Bytes that the text takes."""
        layers: list[Any] = list(self._cache.layers)
        return sum(
            t.numel() * t.element_size() for layer in layers for t in (layer.keys, layer.values) if t is not None
        )

    def _check_memory(self, more: int) -> None:
        config, length = self.network.config, self._length + more
        each = 2 * len(self.network.blocks) * int(config.hidden_size)
        needed = 4 * (length * each + 3 * self.network.heads * CHUNK * length)
        check_memory(f"a text of {length:,} tokens", needed, "Show fewer examples.")


__all__ = ("CHUNK", "MOST_ROWS", "Pick", "Reading", "TooLong")
