"""Patching a subject that moves everything it needs to the query in one attention."""

import dataclasses

import pytest
import torch

from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.intervening import patching

PRE, MID, POST = (f"blocks.0.hook_resid_{at}" for at in ("pre", "mid", "post"))
SIZE = {"n": 48, "queries": 3}


@pytest.fixture(scope="module")
def found(planted, task):
    return patching.patching(planted, task, **SIZE)


@pytest.mark.parametrize(
    ("site", "positions", "transfer"),
    [(PRE, "query", 0), (PRE, "context", 1), (MID, "query", 1), (MID, "context", 0), (POST, "query", 1)],
)
def test_the_answer_moves_with_the_attention(found, look, site, positions, transfer):
    value, _ = look
    at = {"site": site, "positions": positions}
    share = value(found, "transfer", **at)
    assert share.value == pytest.approx(transfer, abs=1e-9)
    assert share.n == SIZE["n"]
    donor, recipient = "normalised error to the donor's answers", "normalised error to the recipient's answers"
    right, wrong = (donor, recipient) if transfer else (recipient, donor)
    assert value(found, right, **at).value < 0.03  # the answers fall one tenth short
    assert value(found, wrong, **at).value > 1
    assert value(found, right.replace("normalised error", "MSE"), **at).value < 0.03
    assert value(found, wrong.replace("normalised error", "MSE"), **at).value > 1


def test_the_controls_come_out_exactly(found, look):
    value, control = look
    for m in found:
        if m.quantity == "transfer":
            assert control(m, patching.EVERYTHING) == 1
            assert control(m, patching.SELF) == 0
    # To the bit: patched with itself the recipient answers as it always does, patched throughout like the donor.
    m = value(found, "MSE to the recipient's answers", site=PRE, positions="query")
    assert control(m, patching.SELF) == m.value
    m = value(found, "MSE to the donor's answers", site=PRE, positions="context")
    assert control(m, patching.EVERYTHING) == m.value


def test_self_patching_changes_no_bit_of_a_transformer(tiny, task):
    donors, recipients = patching.pairs(task, 8, queries=3)
    sites = tuple(s for s in tiny.sites if s.kind.startswith("resid"))
    answers = patching._patched(tiny, donors, recipients, sites)
    for site in sites:
        assert torch.equal(answers[str(site), "self"], answers["", "recipient"])
    assert torch.equal(answers["", "donor into recipient"], answers["", "donor"])
    assert not torch.equal(answers["", "donor"], answers["", "recipient"])


def test_pairs_ask_the_same_of_different_contexts(task):
    donors, recipients = patching.pairs(task, 8, queries=3)
    assert torch.equal(donors.queries, recipients.queries)
    assert not torch.equal(donors.xs, recipients.xs)
    for p in (donors, recipients):
        torch.testing.assert_close(p.targets, (p.queries @ p.weights[..., None])[..., 0])


def test_the_size_of_a_batch_changes_nothing(tiny, task):
    whole, split = (patching.patching(tiny, task, n=20, queries=2, batch=b) for b in (64, 7))
    for a, b in zip(whole, split, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-4, abs=1e-6)
        assert a.coordinates == b.coordinates


def test_it_needs_latent_weights(planted, task, monkeypatch):
    sample = type(task).sample
    monkeypatch.setattr(
        type(task), "sample", lambda self, n, **k: dataclasses.replace(sample(self, n, **k), weights=None)
    )
    with pytest.raises(NotApplicable, match="no latent weights"):
        patching.patching(planted, task)


def test_it_needs_a_residual_stream(bare, task):
    with pytest.raises(NotApplicable, match="residual-stream"):
        patching.patching(bare, task)


def test_the_table_says_whose_answer_it_is(found):
    rows = {(row["patched"], row["site"]): row["answer"] for row in patching.figure(found).rows}
    assert rows["query", PRE] == rows["context", MID] == "recipient's"
    assert rows["query", MID] == rows["context", PRE] == "donor's"


def test_where_donor_and_recipient_get_the_same_answers_nothing_can_be_transferred(planted, task, look):
    """A subject that answers from the query alone."""
    found = patching.patching(dataclasses.replace(planted, trained=False), task, **SIZE)
    for m in found:
        assert all(bool(c.degenerate) == (m.quantity == "transfer") for c in m.controls)
