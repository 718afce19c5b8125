"""The vocabulary: what it accepts, what it refuses and in which words, and how it prints."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jaxtyping
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mesascope import types
from mesascope.types import (
    Answer,
    Control,
    DistributionVerdict,
    Domain,
    Intervention,
    Iterates,
    Measurement,
    Prompts,
    Record,
    Site,
    Status,
    Subject,
    Trace,
    Verdict,
)

NAN, INF = float("nan"), float("inf")
KINDS = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "pattern", "z")


def prompts(**changes: Any) -> Prompts:
    """Four prompts of three examples and five queries in two dimensions."""
    batch, examples, dim, queries = 4, 3, 2, 5
    draw = torch.Generator().manual_seed(0)
    fields: dict[str, Any] = {
        "xs": torch.randn(batch, examples, dim, generator=draw),
        "ys": torch.randn(batch, examples, generator=draw),
        "queries": torch.randn(batch, queries, dim, generator=draw),
        "targets": torch.randn(batch, queries, generator=draw),
        "target_variance": torch.rand(batch, generator=draw) + 0.5,
        "weights": torch.randn(batch, dim, generator=draw),
        "strata": torch.arange(batch) % 2,
        "stratum_names": ("low", "high"),
    }
    return Prompts(**(fields | changes))


class TestPrompts:
    def test_says_how_large_it_is(self):
        batch = prompts()
        assert (len(batch), batch.examples, batch.dim) == (4, 3, 2)

    def test_needs_neither_weights_nor_strata(self):
        batch = prompts(weights=None, strata=None, stratum_names=("all",))
        assert batch[1:].weights is None
        assert batch[1:].strata is None

    @pytest.mark.parametrize("index", [slice(1, 3), torch.tensor([2, 0, 2]), torch.tensor([True, False, False, True])])
    def test_choosing_prompts_chooses_in_every_tensor(self, index):
        batch = prompts()
        chosen = batch[index]
        for field in dataclasses.fields(Prompts):
            before, after = getattr(batch, field.name), getattr(chosen, field.name)
            if isinstance(before, torch.Tensor):
                torch.testing.assert_close(after, before[index], rtol=0, atol=0)
            else:
                assert after == before

    def test_may_be_empty(self):
        assert len(prompts()[:0]) == 0

    def test_changes_precision_but_not_the_labels_of_strata(self):
        batch = prompts().to(dtype=torch.float64)
        assert {batch.xs.dtype, batch.ys.dtype, batch.targets.dtype, batch.target_variance.dtype} == {torch.float64}
        assert batch.strata is not None
        assert batch.strata.dtype == torch.int64
        torch.testing.assert_close(batch.to(dtype=torch.float32).xs, prompts().xs, rtol=0, atol=0)

    def test_moving_to_nowhere_changes_nothing(self):
        batch = prompts()
        assert batch.to().xs.dtype == batch.xs.dtype
        assert batch.to("cpu").xs.device == batch.xs.device

    def test_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            prompts().xs = torch.zeros(4, 3, 2)  # type: ignore[misc]

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"xs": torch.zeros(3, 2)}, r"xs must have the axes \(batch, example, dim\); got shape \(3, 2\)"),
            ({"queries": torch.zeros(4, 2)}, r"queries must have shape \(4, any, 2\) .* got \(4, 2\)"),
            ({"queries": torch.zeros(3, 5, 2)}, r"queries must have shape \(4, any, 2\) .* got \(3, 5, 2\)"),
            ({"queries": torch.zeros(4, 5, 3)}, r"queries must have shape \(4, any, 2\) .* got \(4, 5, 3\)"),
            ({"ys": torch.zeros(4, 2)}, r"ys must have shape \(4, 3\) .* got \(4, 2\)"),
            ({"targets": torch.zeros(4, 1)}, r"targets must have shape \(4, 5\) .* got \(4, 1\)"),
            ({"target_variance": torch.ones(4, 1)}, r"target_variance must have shape \(4,\) .* got \(4, 1\)"),
            ({"weights": torch.zeros(4, 3)}, r"weights must have shape \(4, 2\) .* got \(4, 3\)"),
            ({"strata": torch.zeros(3, dtype=torch.int64)}, r"strata must have shape \(4,\) .* got \(3,\)"),
            ({"xs": torch.zeros(4, 3, 2, dtype=torch.int64)}, r"xs must hold floating-point numbers.*got torch\.int64"),
            (
                {"ys": torch.zeros(4, 3, dtype=torch.float64)},
                r"ys must .* same precision .* torch\.float64, and xs is torch\.float32",
            ),
        ],
    )
    def test_refuses_shapes_and_types_that_do_not_go_together(self, changes, message):
        with pytest.raises(ValueError, match=message):
            prompts(**changes)

    @pytest.mark.usefixtures("unchecked")
    def test_a_single_prompt_is_chosen_by_a_slice(self):
        with pytest.raises(ValueError, match=r"Pick one prompt as prompts\[i : i \+ 1\]"):
            prompts()[0]  # type: ignore[index]

    @pytest.mark.parametrize("value", [NAN, INF, -INF])
    @pytest.mark.parametrize("name", ["xs", "ys", "queries", "targets", "target_variance", "weights"])
    def test_refuses_what_is_not_finite_and_says_where(self, name, value):
        broken = getattr(prompts(), name).clone()
        broken[2, ...] = value
        with pytest.raises(ValueError, match=rf"{name} must be finite; prompt 2 holds NaN or infinity\. Drop"):
            prompts(**{name: broken})

    @pytest.mark.parametrize("value", [0.0, -1.0])
    def test_refuses_a_target_that_does_not_vary(self, value):
        with pytest.raises(ValueError, match=rf"target_variance must be positive; got {value}"):
            prompts(target_variance=torch.tensor([1.0, value, 1.0, 1.0]))

    @pytest.mark.parametrize("label", [-1, 2])
    def test_refuses_a_stratum_without_a_name(self, label):
        with pytest.raises(ValueError, match=rf"strata must be labels from 0 to 1, .* got {label}\. Name every"):
            prompts(strata=torch.tensor([0, 1, label, 0]))

    def test_shapes_are_checked_in_this_suite(self):
        with pytest.raises(jaxtyping.TypeCheckError, match="ys"):
            prompts(ys=torch.zeros(4, 2))


def test_iterates_share_their_axes():
    fields = {
        "predictions": torch.zeros(3, 4, 5),
        "weights": None,
        "status": torch.full((4,), Status.OK.value),
        "stopped_at": torch.full((4,), -1),
    }
    Iterates(**fields)
    with pytest.raises(jaxtyping.TypeCheckError, match="stopped_at"):
        Iterates(**fields | {"stopped_at": torch.zeros(3, dtype=torch.int64)})


def sites() -> st.SearchStrategy[Site]:
    layered = st.builds(lambda n, kind: Site(layer=n, kind=kind), st.integers(0, 10**6), st.sampled_from(KINDS[1:]))
    return layered | st.just(Site(kind="embed"))


class TestSite:
    @given(sites())
    def test_parses_what_it_prints(self, site):
        assert Site.parse(str(site)) == site

    @given(st.text(max_size=8) | st.from_regex(r"blocks\.\d{1,3}\.[a-z_.]{0,20}", fullmatch=True))
    def test_prints_what_it_parses_and_refuses_the_rest(self, name):
        try:
            site = Site.parse(name)
        except ValueError as error:
            assert repr(name) in str(error)  # noqa: PT017  (either outcome is right, and each has its rule)
        else:
            assert str(site) == name

    @pytest.mark.parametrize(
        ("site", "name"),
        [
            (Site(kind="embed"), "hook_embed"),
            (Site(layer=0, kind="resid_pre"), "blocks.0.hook_resid_pre"),
            (Site(layer=1, kind="resid_mid"), "blocks.1.hook_resid_mid"),
            (Site(layer=12, kind="resid_post"), "blocks.12.hook_resid_post"),
            (Site(layer=1, kind="attn_out"), "blocks.1.hook_attn_out"),
            (Site(layer=1, kind="mlp_out"), "blocks.1.hook_mlp_out"),
            (Site(layer=1, kind="pattern"), "blocks.1.attn.hook_pattern"),
            (Site(layer=1, kind="z"), "blocks.1.attn.hook_z"),
        ],
    )
    def test_bears_the_hook_names_people_know(self, site, name):
        assert str(site) == name
        assert Site.parse(name) == site

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "embed",
            "attn_out",
            "blocks.hook_z",
            "blocks.1.hook_z",  # it lies inside attn
            "blocks.-1.hook_attn_out",
            "blocks.01.hook_attn_out",  # would print as blocks.1
            "blocks.\u0663.hook_attn_out",  # an Arabic three, which int() takes
            "blocks.0.hook_embed",
            "blocks.1.hook_attn_out\n",
            " blocks.1.hook_attn_out",
        ],
    )
    def test_refuses_what_no_site_prints_as(self, name):
        with pytest.raises(ValueError, match=r"a site must be hook_embed or one of blocks\.N\.hook_resid_pre"):
            Site.parse(name)

    def test_refuses_an_unknown_kind(self):
        with pytest.raises(ValueError, match=r"kind must be one of embed, resid_pre, .*; got 'residual'"):
            Site(layer=0, kind="residual")

    @pytest.mark.parametrize(("layer", "kind"), [(0, "embed"), (-2, "embed"), (-1, "attn_out"), (-3, "z")])
    def test_refuses_a_layer_that_does_not_go_with_the_kind(self, layer, kind):
        with pytest.raises(ValueError, match=rf"layer must be -1 for 'embed' .* got {layer} for '{kind}'"):
            Site(layer=layer, kind=kind)

    def test_sorts_by_layer(self):
        assert sorted([Site(layer=2, kind="z"), Site(layer=0, kind="z"), Site(kind="embed")])[0] == Site(kind="embed")

    def test_is_a_key(self):
        assert {Site(layer=1, kind="z"): 1}[Site.parse("blocks.1.attn.hook_z")] == 1


class TestTrace:
    site = Site(layer=1, kind="attn_out")

    def test_gives_an_activation_by_site_or_name(self):
        activation = torch.ones(2, 3, 4)
        trace = Trace(predictions=torch.zeros(2, 1), activations={self.site: activation})
        assert trace[self.site] is activation
        assert trace["blocks.1.hook_attn_out"] is activation

    def test_says_what_was_not_captured(self):
        trace = Trace(predictions=torch.zeros(2, 1), activations={self.site: torch.ones(2, 3, 4)})
        with pytest.raises(KeyError, match=r"hook_embed was not captured; this trace holds blocks\.1\.hook_attn_out\."):
            trace["hook_embed"]
        with pytest.raises(KeyError, match="this trace holds none"):
            Trace(predictions=torch.zeros(2, 1), activations={})[self.site]

    def test_refuses_a_name_that_is_no_sites(self):
        with pytest.raises(ValueError, match="a site must be"):
            Trace(predictions=torch.zeros(2, 1), activations={})["attention"]


class TestDomain:
    @pytest.mark.parametrize(
        "domain",
        [
            Domain(),
            Domain(dims=(2,)),
            Domain(dims=(1, 2), examples=range(1, 4)),
            Domain(examples=(3,)),
        ],
    )
    def test_takes_what_lies_inside(self, domain):
        domain.check(prompts())

    @pytest.mark.parametrize(
        ("domain", "message"),
        [
            (Domain(dims=(5,)), "dim must be 5 for this subject; got 2. Sample"),
            (Domain(dims=(1, 5)), "dim must be 1, 5 for this subject; got 2. Sample"),
            (Domain(examples=range(4, 21)), "examples must be 4 to 20 for this subject; got 3. Sample"),
            (Domain(examples=range(4, 9, 2)), "examples must be 4, 6, 8 for this subject; got 3. Sample"),
            (Domain(examples=range(4, 5)), "examples must be 4 for this subject; got 3. Sample"),
        ],
    )
    def test_refuses_what_lies_outside_and_says_what_would_do(self, domain, message):
        with pytest.raises(ValueError, match=message):
            domain.check(prompts())

    def test_a_task_is_checked_before_anything_is_drawn_from_it(self):
        task = SimpleNamespace(dim=2000, examples=3)
        Domain(dims=(2000,)).check(task)
        with pytest.raises(ValueError, match="dim must be 5 for this subject; got 2000"):
            Domain(dims=(5,)).check(task)


class Mean:
    """The least that is a subject: it answers every query with the mean label."""

    name = "mean"
    domain = Domain()
    sites = (Site(kind="embed"),)
    path = ()

    def trace(self, prompts, *, capture=(), interventions=()):
        return Trace(predictions=prompts.ys.mean(1, keepdim=True).expand_as(prompts.targets), activations={})

    def readout(self, activation, site):
        return activation.mean(-1)


def test_anything_with_the_verbs_is_a_subject():
    assert isinstance(Mean(), Subject)
    assert Mean().trace(prompts()).predictions.shape == (4, 5)
    assert not isinstance(object(), Subject)


def test_an_intervention_edits_what_a_site_computes():
    intervention = Intervention(site=Site(kind="embed"), edit=lambda activation: 2 * activation)
    torch.testing.assert_close(intervention.edit(torch.ones(2)), torch.full((2,), 2.0))


def measurement(**changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "instrument": "probe",
        "quantity": "cosine",
        "value": 0.9,
        "interval": (0.8, 1.0),
        "n": 64,
        "coordinates": {"site": "hook_embed"},
        "controls": (Control(kind="negative", name="untrained", value=0.1),),
    }
    return Measurement(**(fields | changes))


class TestTable:
    def test_has_a_row_a_measurement_and_a_column_a_coordinate_and_control(self):
        frame = types.table([measurement(), measurement(interval=None, coordinates={"layer": 1}, controls=())])
        assert list(frame.columns) == [
            "instrument",
            "quantity",
            "site",
            "value",
            "low",
            "high",
            "n",
            "unit",
            "negative control: untrained",
            "layer",
        ]
        assert frame.loc[0, ["low", "high", "negative control: untrained"]].tolist() == [0.8, 1.0, 0.1]
        assert frame.loc[1, ["low", "high", "site", "negative control: untrained"]].isna().all()
        assert frame["n"].tolist() == [64, 64]

    def test_of_nothing_still_has_its_columns(self):
        frame = types.table([])
        assert frame.empty
        assert {"instrument", "quantity", "value", "low", "high", "n", "unit"} == set(frame.columns)

    def test_loses_no_coordinate_to_a_column_of_the_same_name(self):
        frame = types.table([measurement(coordinates={"n": 20, "value": "x"})])
        assert frame.loc[0, ["n", "value", "coordinate: n", "coordinate: value"]].tolist() == [64, 0.9, 20, "x"]


HOSTILE = "<script>alert('x')</script>&"


def verdict(**changes: Any) -> Verdict:
    answer = Answer(
        question="path",
        distribution="training",
        label="none",
        algorithms=(),
        reason="it does not reduce the error",
        readout="own",
        scores=(),
        controls=(),
        remainder=None,
        n=64,
    )
    both = DistributionVerdict(function=dataclasses.replace(answer, question="function"), path=answer)
    fields: dict[str, Any] = {
        "subject": "untrained",
        "label": "none",
        "algorithms": (),
        "reason": "It does not reduce the error.",
        "basis": "training",
        "training": both,
        "discriminating": None,
        "invariances": (),
    }
    return Verdict(**(fields | changes))


class TestShown:
    def test_a_verdict_reads_as_a_sentence(self):
        assert str(verdict()) == (
            "untrained: none (none of the candidates), on the training distribution. It does not reduce the error."
        )
        named = verdict(label="indistinguishable", algorithms=("gradient-descent", "newton"), basis="discriminating")
        assert "indistinguishable (gradient-descent, newton), on the discriminating distribution." in str(named)

    def test_a_verdict_escapes_what_comes_from_outside(self):
        shown = verdict(subject=HOSTILE, algorithms=(HOSTILE,), reason=HOSTILE)._repr_html_()
        assert "<script" not in shown
        assert shown.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;") == 3

    def test_a_record_escapes_what_comes_from_outside(self):
        hostile = measurement(
            instrument=HOSTILE,
            unit=HOSTILE,
            coordinates={HOSTILE: HOSTILE},
            controls=(Control(kind="positive", name=HOSTILE, value=1.0),),
        )
        record = Record(
            subject={},
            verdict=verdict(subject=HOSTILE),
            measurements=(hostile,),
            skipped={},
            controls=(),
            figures=(),
            provenance={},
        )
        shown = record._repr_html_()
        assert "<script" not in shown
        assert shown.count("&lt;script&gt;") >= 6
        assert "<table" in shown

    def test_a_records_table_is_that_of_its_measurements(self):
        record = Record(
            subject={},
            verdict=verdict(),
            measurements=(measurement(),),
            skipped={},
            controls=(),
            figures=(),
            provenance={},
        )
        pandas.testing.assert_frame_equal(record.table(), types.table([measurement()]))
        assert record.schema_version == 2


class _Able:
    """A subject with every ability."""

    answers_everywhere = True
    holds, layers, layers_per_step, layers_to_start = "a state", 1, 1, 0

    @property
    def spec(self):
        return {"of": "somebody"}

    def reinitialised(self, seed):
        return seed

    def answer_everywhere(self, prompts):
        return prompts.ys

    def layout(self, examples, queries):
        return types.interleaved(examples, queries)

    def channels(self, dim):
        return dim


ABILITIES = (
    types.Reinitialisable,
    types.Specified,
    types.AnswersEverywhere,
    types.StatesLayout,
    types.DeclaresState,
)


def test_an_ability_is_there_if_its_names_are(unchecked):
    able, bare = _Able(), SimpleNamespace()
    for ability in ABILITIES:
        assert isinstance(able, ability)
        assert not isinstance(bare, ability)
    assert (types.spec_of(able), types.spec_of(bare)) == ({"of": "somebody"}, None)
    assert (types.spec_mapping(able), types.spec_mapping(SimpleNamespace(spec="text"))) == ({"of": "somebody"}, {})
    assert (types.untrained_twin(able, 3), types.untrained_twin(bare, 3)) == (3, None)
    assert types.answering_everywhere(able) is able
    able.answers_everywhere = False
    assert types.answering_everywhere(able) is None
    assert types.answering_everywhere(bare) is None
    assert types.stated_layout(able, 4, 2) is not None
    assert types.stated_layout(bare, 4, 2) is None


def test_a_layout_of_several_tokens():
    places = types.interleaved(2, 2, input_tokens=2, label_tokens=1, own_context=True)
    assert places.inputs.tolist() == [[[0, 1], [3, 4]], [[6, 7], [9, 10]]]
    assert places.labels.tolist() == [[[2], [5]], [[8], [11]]]
    assert places.queries.tolist() == [[12, 13], [14, 15]]
    assert places.answers.tolist() == [13, 15]
    assert (places.examples, places.positions, places.together, places.columns()) == (2, 16, False, {})
    assert places.first.tolist() == [0] * 6 + [6] * 6 + [0, 0, 6, 6]
    assert places.previous.tolist() == [0, 0, 1, 2, 3, 4, 6, 6, 7, 8, 9, 10, 5, 12, 11, 14]
    assert places.names()[:4] == ["x1.1", "x1.2", "y1", "x2.1"]
    assert places.names()[-2:] == ["xq2.1", "xq2.2"]


def test_a_layout_of_one_token_an_example():
    places = types.interleaved(3, 1, label_tokens=0)
    assert places.together
    assert places.columns()["example"].tolist() == [[0, 1, 2]]
    assert places.names() == ["1", "2", "3", "xq"]
