"""Attention content: which features of an example, and of the query, decide how much the query attends to the example.

Softmax attention depends on differences of log weights only. So the log attention from each query to the tokens of one kind
(such as labels), centred over the examples, is regressed on features of the examples, also centred. Then the fitted values
replace the pattern. Flat attention damages the answers; the share of this damage that the fitted values undo shows whether
the model uses the features, or whether they are only correlated with what it uses.

Source: the two-to-eight-layer study finds that the second layer's attention is nearly uniform, and that the answers are
worthless if it is made exactly uniform; it leaves open what the difference encodes. The method is new.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.tokens import along, asked, layout
from mesascope.instruments.attending.example_features import FORMS, example_features, general_forms
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.regression import ridge_fits
from mesascope.instruments.statistics.scores import Quantity, explained, measure, partners, squared_error
from mesascope.types import Figure, Intervention, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted, bounds

NAME = "attention content"
SPREAD = Quantity(name="spread of log attention", combine=lambda means: means[:, 0].sqrt(), unit="nat")
R2 = Quantity(name="R² of log attention", combine=explained)
LOST = Quantity(name="R² lost without", combine=lambda means: means[:, 0] / means[:, 1])
MSE = Quantity(name="MSE with fitted attention", unit="y²")
UNDONE = Quantity(name="damage undone", combine=lambda means: (means[:, 1] - means[:, 0]) / (means[:, 1] - means[:, 2]))
ALL, EVERY = "all features", f"all and {FORMS}"
FLAT, ITSELF, UNIFORM = "nothing: flat", "its own log attention", "uniform over all tokens"
OTHERS, UNTRAINED, PLANTED = "another prompt's attention", "untrained network", "attention made of the features"
FEW = 4
SHOWN = 9  # number of single features in the figure; the measurements have all of them
_OWN, _WITHOUT, _BEST = "own", "without ", "best "
_VARIES = 1e-6  # nats: a head whose log attention varies less than this between examples counts as uniform

BATCH = 128  # number of prompts per pass
Log = Float[Tensor, "batch head query example"]
Basis = Float[Tensor, "batch query example feature"]


def few(count: int) -> str:
    """The name of the set of the ``count`` best features."""
    return f"{_BEST}{count}"


def attention_content(
    subject: Subject,
    task: Task,
    *,
    site: Site | None = None,
    seed: int = 0,
    fit: int = 256,
    score: int = 256,
    queries: int = 4,
) -> tuple[Measurement, ...]:
    """Held-out R² of log attention on features of the examples, and the answers' error with the fitted attention.

    For each head and kind of token: the spread of log attention over the examples (root mean square, in nats); its R² on
    each feature alone, on the best few (chosen one by one by the mean R² on the fitting prompts), on all features, and on
    all features with any linear or bilinear form; and the R² that is lost without each feature.

    Then, for all heads and kinds of token at once: the error of the answers when the queries' log attention is replaced by
    the fitted one, and the share of the damage of flat attention that this undoes. Each kind of token keeps its total weight.

    Controls. Positive: log attention made of exactly these features; for the damage, the model's own log attention put back.
    Negative: another prompt's log attention (fitted, or put in), the untrained network, uniform attention.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        site: an attention pattern; by default the last layer's.
        seed: of the prompts, the untrained weights and the resampling.
        fit, score: numbers of prompts to fit on and to score on.
        queries: queries per prompt.

    Raises:
        NotApplicable: the subject has no such pattern, the pattern's rows don't sum to 1, or an example has neither one nor
            two tokens.
    """
    many = adjusted(task, queries=queries)
    prompts = [many.sample(n, seed=seed, stream=f"{NAME}/{use}") for n, use in ((fit, "fit"), (score, "score"))]
    site, kinds = _place(subject, prompts[0][:1], site)
    draws = bootstrap.weights(score, seed=seed, strata=prompts[1].strata)
    seen = [_logs(subject, p, site, kinds) for p in prompts]
    fresh = untrained(subject, seed)
    blank = None if fresh is None else [_logs(fresh, p, site, kinds) for p in prompts]
    named = [example_features(p) for p in prompts]
    best = _best(seen[0], named[0])
    subsets = {name: (name,) for name in named[0]} | {few(k): best[:k] for k in range(2, len(best) + 1)}
    subsets |= {_WITHOUT + name: tuple(n for n in named[0] if n != name) for name in named[0]} | {ALL: tuple(named[0])}
    bases = {name: [torch.cat([n[one] for one in subset], -1) for n in named] for name, subset in subsets.items()}
    bases[EVERY] = [torch.cat([b, general_forms(p)], -1) for b, p in zip(bases[ALL], prompts, strict=True)]

    found: list[Measurement] = []
    guesses: dict[str, dict[str, Log]] = {name: {} for name in bases}
    for kind in kinds:
        cases = {_OWN: [s[kind] for s in seen]}
        cases[OTHERS] = [s[kind][partners(p)] for s, p in zip(seen, prompts, strict=True)]
        if blank is not None:
            cases[UNTRAINED] = [b[kind] for b in blank]
        where: dict[str, Scalar] = {"site": str(site), "tokens": kind}
        found += _spreads({case: logs[1] for case, logs in cases.items()}, where, draws)
        errors: dict[str, dict[str, Tensor]] = {}
        for name, both in bases.items():
            # The positive control of the R² lost without a feature is log attention made of that feature alone.
            made = [_made_of(b, s[kind]) for b, s in zip(bases[name.removeprefix(_WITHOUT)], seen, strict=True)]
            fitted = _fitted(both, cases | {PLANTED: made})
            guesses[name][kind] = fitted[_OWN][0]
            errors[name] = {case: sums for case, (_, sums) in fitted.items()}
        found += _explained(errors, tuple(named[0]), where, draws)
    shown = {name: guess for name, guess in guesses.items() if not name.startswith(_WITHOUT)}
    return (*found, *_replaced(subject, prompts[1], site, kinds, seen[1], shown, draws))


def figure(measurements: Sequence[Measurement]) -> Figure:
    """R² by head on the single features with the highest R² and on sets of features, one panel per kind of token."""
    r2 = [m for m in measurements if m.instrument == NAME and m.quantity == R2.name]
    names = list(dict.fromkeys(str(m.coordinates["features"]) for m in r2))
    several = [name for name in names if name in (ALL, EVERY) or name.startswith(_BEST)]
    most = {
        name: max(m.value for m in r2 if m.coordinates["features"] == name) for name in names if name not in several
    }
    shown = sorted(sorted(most, key=lambda name: -most[name])[:SHOWN], key=names.index)
    rows = [
        {"tokens": m.coordinates["tokens"], "head": m.coordinates["head"], "features": name, "R²": m.value}
        for name in (*shown, *several)
        for m in r2
        if m.coordinates["features"] == name
    ]
    return Figure(
        name="attention-content",
        section="Attention content",
        title="Which features decide the query's attention",
        caption="Held-out R² of each head's log attention to the examples' tokens, centred over the examples: on the "
        f"{SHOWN} single features with the highest R², and on sets of features. x, y: the example; x_q: the query; r: the "
        "example's residual after one step of steepest descent.",
        kind="heatmap",
        rows=tuple(rows),
        x="head",
        y="features",
        value="R²",
        facet="tokens",
    )


def damage_figure(measurements: Sequence[Measurement]) -> Figure:
    """The answers' error with fitted attention, by the features it was fitted on."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument == NAME and m.quantity == MSE.name:
            rows.append({"attention from": m.coordinates["features"], "MSE": m.value, **bounds(m.interval)})
    return Figure(
        name="attention-content-damage",
        section="Attention content",
        title="How well the model answers with fitted attention",
        caption="Mean squared error of the answers when the queries' attention is replaced by what the features predict. "
        "Attention that is flat within each kind of token and the model's own attention are the two ends of the scale.",
        kind="bars",
        rows=tuple(sorted(rows, key=lambda row: -float(row["MSE"] or 0))),
        x="attention from",
        y="MSE",
        low="low",
        high="high",
        log=("y",),
    )


def _place(subject: Subject, prompt: Prompts, site: Site | None) -> tuple[Site, dict[str, Tensor]]:
    """The pattern's site, and the columns (query, example) of each kind of token."""
    patterns = sorted(s for s in subject.sites if s.kind == "pattern")
    if not patterns or site not in (None, *patterns):
        raise NotApplicable(f"{subject.name} shows no attention pattern{'' if site is None else f' at {site}'}.")
    site = site or patterns[-1]
    pattern = subject.trace(prompt, capture=[site])[site].double()
    rows = pattern[:, :, along(asked(subject, prompt)[:, -1])]
    if not bool((rows >= 0).all()) or not torch.allclose(rows.sum(-1), torch.ones_like(rows[..., 0]), atol=1e-3):
        raise NotApplicable(f"the attention of {subject.name} at {site} is no distribution: its rows don't sum to 1.")
    places = layout(subject, prompt)
    if columns := places.columns():
        return site, columns
    tokens = places.context.shape[1]
    raise NotApplicable(
        f"{subject.name} has {tokens} tokens for {prompt.examples} examples; an example must have one or two."
    )


def _logs(subject: Subject, prompts: Prompts, site: Site, kinds: Mapping[str, Tensor]) -> dict[str, Log]:
    """Log attention from the queries to each kind of token, centred over the examples; weight 0 counts as float32's tiny."""
    kept: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        pattern = subject.trace(part, capture=[site])[site][:, :, along(asked(subject, part)[:, -1])].double().cpu()
        for kind, columns in kinds.items():
            logs = _on(pattern, columns).clamp(min=torch.finfo(torch.float32).tiny).log()
            kept[kind].append(logs - logs.mean(-1, keepdim=True))
    return {kind: torch.cat(parts) for kind, parts in kept.items()}


def _on(rows: Float[Tensor, "batch head query position"], columns: Int[Tensor, "query example"]) -> Log:
    """The weights of each query's row on that query's columns."""
    return rows.gather(-1, _everywhere(columns, rows))


def _everywhere(columns: Int[Tensor, "query example"], rows: Tensor) -> Int[Tensor, "batch head query example"]:
    return columns.to(rows.device).expand(*rows.shape[:2], -1, -1)


def _best(logs: Mapping[str, Log], features: Mapping[str, Basis]) -> tuple[str, ...]:
    """The names of the `FEW` features chosen one by one, each for the largest rise of the mean R² over heads and kinds."""
    names = list(features)
    index = torch.arange(len(names)).repeat_interleave(torch.tensor([features[n].shape[-1] for n in names]))
    rows = torch.cat([features[n] for n in names], -1).flatten(0, 2)
    targets = torch.cat([log.transpose(0, 1).flatten(1) for log in logs.values()]).T
    targets = targets / targets.square().sum(0).sqrt().clamp(min=_VARIES)
    gram, moments = rows.T @ rows, rows.T @ targets
    chosen: list[int] = []

    def gain(candidate: int) -> float:
        use = torch.isin(index, torch.tensor([*chosen, candidate]))
        return float((moments[use] * (torch.linalg.pinv(gram[use][:, use], hermitian=True) @ moments[use])).sum())

    for _ in range(FEW):
        chosen.append(max((i for i in range(len(names)) if i not in chosen), key=gain))
    return tuple(names[i] for i in chosen)


def _fitted(basis: Sequence[Tensor], cases: Mapping[str, Sequence[Tensor]]) -> dict[str, tuple[Tensor, Tensor]]:
    """For each case the fitted log attention of the scoring prompts, and squared error and square as (batch, head, 2).

    ``basis`` and each case hold values for the fitting prompts, then for the scoring prompts; the two numbers may differ.
    """
    flat = [b.flatten(1, 2) for b in basis]
    fits = ridge_fits(flat[0], {case: logs[0].movedim(1, -1).flatten(1, 2) for case, logs in cases.items()})
    out: dict[str, tuple[Tensor, Tensor]] = {}
    for case, (_, truth) in cases.items():
        guess = fits[case].guess(flat[1]).unflatten(1, truth.shape[2:]).movedim(-1, 1)
        guess = guess - guess.mean(-1, keepdim=True)
        out[case] = guess, torch.stack([(truth - guess).square().mean((-1, -2)), truth.square().mean((-1, -2))], -1)
    return out


def _made_of(basis: Basis, like: Log) -> Log:
    """Log attention that is a linear combination of the features, the same in every head."""
    return (basis @ torch.linspace(1, 2, basis.shape[-1]).to(basis))[:, None].expand_as(like)


def _spreads(logs: Mapping[str, Log], where: Mapping[str, Scalar], draws: Tensor) -> list[Measurement]:
    squares = {case: values.square().mean((-1, -2)) for case, values in logs.items() if case != OTHERS}
    known = torch.arange(logs[_OWN].shape[-1]).double()
    return [
        measure(
            NAME,
            SPREAD,
            squares[_OWN][:, head],
            draws,
            coordinates={**where, "head": head},
            positive={"each example e times the one before": float(known.std(correction=0))},
            negative={"uniform": 0.0} | {case: s[:, head] for case, s in squares.items() if case != _OWN},
        )
        for head in range(squares[_OWN].shape[1])
    ]


def _explained(
    errors: Mapping[str, Mapping[str, Tensor]], names: Sequence[str], where: Mapping[str, Scalar], draws: Tensor
) -> list[Measurement]:
    """R² by features and head, and the R² lost without each feature; uniform heads are left out."""
    found: list[Measurement] = []
    full = errors[ALL]

    def add(quantity: Quantity, cases: Mapping[str, Tensor], head: int, name: str) -> None:
        varying = {case: s[:, head] for case, s in cases.items() if float(s[:, head, 1].mean()) > _VARIES**2}
        if _OWN in varying:
            own, planted = varying.pop(_OWN), varying.pop(PLANTED)
            at = {**where, "head": head, "features": name}
            found.append(
                measure(NAME, quantity, own, draws, coordinates=at, positive={PLANTED: planted}, negative=varying)
            )

    for head in range(full[_OWN].shape[1]):
        for name, cases in errors.items():
            if not name.startswith(_WITHOUT):
                add(R2, cases, head, name)
        for name in names:
            less = dict(errors[_WITHOUT + name])
            # All features together explain attention made of one of them completely: their error is 0.
            left = {case: s[..., 0] - (0 if case == PLANTED else full[case][..., 0]) for case, s in less.items()}
            add(LOST, {case: torch.stack([left[case], s[..., 1]], -1) for case, s in less.items()}, head, name)
    return found


def _replaced(
    subject: Subject,
    prompts: Prompts,
    site: Site,
    kinds: Mapping[str, Tensor],
    own: Mapping[str, Log],
    guesses: Mapping[str, Mapping[str, Log]],
    draws: Tensor,
) -> list[Measurement]:
    """The answers' error with each fitted log attention in place of the queries' own, and the damage undone."""
    other = partners(prompts)
    cases: dict[str, Mapping[str, Log] | None] = {
        FLAT: {kind: torch.zeros_like(logs) for kind, logs in own.items()},
        ITSELF: own,
        OTHERS: {kind: logs[other] for kind, logs in own.items()},
        UNIFORM: None,
        **guesses,
    }
    errors: dict[str, list[Tensor]] = {}
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        errors.setdefault(_OWN, []).append(squared_error(subject.trace(part, capture=[site]).predictions, part))
        for name, logs in cases.items():
            here = None if logs is None else {kind: values[start : start + BATCH] for kind, values in logs.items()}
            edit = _put(site, kinds, here, part.queries.shape[1])
            answers = subject.trace(part, capture=[site], interventions=[edit]).predictions
            errors.setdefault(name, []).append(squared_error(answers, part))
    known = {name: torch.cat(parts) for name, parts in errors.items()}
    known = {name: torch.stack([error, known[FLAT], known[_OWN]], -1) for name, error in known.items()}
    matters = float(known[FLAT][:, 0].mean()) > (1 + _VARIES) * float(known[_OWN][:, 0].mean())
    found: list[Measurement] = []
    for name in (FLAT, UNIFORM, *guesses, _OWN):
        for quantity in (MSE, UNDONE) if matters else (MSE,):
            found.append(
                measure(
                    NAME,
                    quantity,
                    known[name],
                    draws,
                    coordinates={"site": str(site), "features": "the model's own" if name == _OWN else name},
                    positive={ITSELF: known[ITSELF]},
                    negative={case: known[case] for case in (OTHERS, FLAT)},
                )
            )
    return found


def _put(site: Site, kinds: Mapping[str, Tensor], logs: Mapping[str, Log] | None, queries: int) -> Intervention:
    """The edit that puts log attention into the queries' rows, for each kind of token; ``None``: uniform over all visible."""

    def edit(pattern: Tensor) -> Tensor:
        new = pattern.clone()
        rows = new[:, :, -queries:]
        if logs is None:
            visible = (rows > 0).to(rows)
            rows.copy_(visible / visible.sum(-1, keepdim=True))
            return new
        for kind, columns in kinds.items():
            weight = _on(rows, columns).sum(-1, keepdim=True)
            rows.scatter_(-1, _everywhere(columns, rows), weight * logs[kind].softmax(-1).to(rows))
        return new

    return Intervention(site=site, edit=edit)


INSTRUMENT = Instrument(
    name=NAME,
    question="Which features make its attention differ from uniform, and do the answers need that?",
    measure=attention_content,
    needs="attention patterns that are distributions",
    quantities=(
        "MSE with fitted attention",
        "R² lost without",
        "R² of log attention",
        "damage undone",
        "spread of log attention",
    ),
    coordinates=(
        "features",
        "head",
        "site",
        "tokens",
    ),
    sizes=sizes(fit=(64, 512, 1024), score=(32, 256, 1024)),
    figure=figure,
)

__all__ = (
"INSTRUMENT",     "ALL", "EVERY", "FEW", "FLAT", "ITSELF", "LOST", "MSE", "NAME", "OTHERS", "R2", "SPREAD", "UNDONE", "UNIFORM",
    "attention_content", "damage_figure", "few", "figure",
)  # fmt: skip
