"""Which ridge penalty answers match best, and whether it moves with the noise of the labels."""

from collections.abc import Sequence
from dataclasses import replace

from mesascope.algorithms import GradientDescent
from mesascope.instruments.behaving import matching
from mesascope.models.scripted import Scripted, followed
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.networks import Network
from mesascope.studies.pictures import lines, only
from mesascope.studies.rules import pick, where
from mesascope.studies.study import Study, own, sourced
from mesascope.types import Figure, Measurement, Scalar, bounds

NETWORK = Network()
NETWORKS = (NETWORK, *(Network(layers=n, seed=seed) for n, seed in ((2, 100), (3, 42), (3, 100), (4, 42), (4, 100))))
DENSE = "two-layer"
PLANTED = "planted: gradient descent, 24 steps"
NOISES = (0.0, 0.1, 0.25, 0.5, 1.0)
PREDICTED = {noise: matching.bayes_ridge(NETWORK.task, noise) for noise in NOISES}
"""λ of Bayes' rule by noise: on this task σ²d."""
TWO = tuple(network.name for network in NETWORKS if network.layers == 2)
TRAINED = (*(network.name for network in NETWORKS), DENSE)


def planted() -> Scripted:
    """A fixed filter of the spectrum that is not ridge regression's, and knows nothing of noise."""
    return followed(PLANTED, GradientDescent(step_size=0.6), (24,))


def _measure(network: Network | str, name: str, *, smoke: bool = True) -> Measure:
    """The best λ at every noise, and its slope on the λ of Bayes' rule."""
    return Measure(
        instrument=matching.TRACKING.name,
        network=network,
        label={"network": name},
        prompts={"n": 384},
        options={"noises": NOISES},
        task=NETWORK.task,
        at_smoke=smoke,
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    curves = replace(
        matching.figure(only(found, network=NETWORK.name)),
        title=f"How well ridge regression matches, by λ: {NETWORK.name}",
        facet="predicted",
        titles={"value": "λ", "predicted": "λ of Bayes' rule"},
    )
    return (_shift(only(found, quantity=matching.BEST)), curves)


def _shift(found: Sequence[Measurement]) -> Figure:
    noises = {predicted: noise for noise, predicted in PREDICTED.items()}
    rows: list[dict[str, Scalar]] = []
    for m in found:
        noise = noises[float(m.coordinates["predicted"] or 0)]
        shown = [(str(m.coordinates["network"]), m.value, m.interval)]
        if m.coordinates["network"] == NETWORK.name:
            shown += [(f"control: {c.name}", c.value, c.interval) for c in m.controls if c.name != matching.STAYS]
        rows += [{"noise": noise, "answers": name, "best λ": v, **bounds(interval)} for name, v, interval in shown]
    return lines(
        name="best-ridge-by-noise",
        section="Best match",
        title="The ridge penalty that answers match best, by the noise of the labels",
        caption="The networks were trained on labels without noise. Positive control: ridge regression at the λ = σ²d of Bayes' "
        "rule. Negative controls: the answers to another prompt, an untrained network, and 24 steps of gradient descent, a fixed "
        "filter. The grid goes from λ = 0.001 to 100.",
        rows=tuple(rows),
        x="noise",
        y="best λ",
        series="answers",
        titles={"noise": "label noise σ"},
        log=("y",),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    def best(name: str, noise: float) -> float:
        return pick(found, matching.BEST, network=name, predicted=PREDICTED[noise]).value

    slopes = {str(m.coordinates["network"]): m.value for m in only(found, quantity=matching.SLOPE)}
    told = [
        f"{name}: {best(name, 0.0):.2g} without noise, {best(name, 1.0):.2g} at σ = 1, slope {slope:.2f}"
        for name, slope in slopes.items()
    ]
    quiet, loud = (
        pick(found, matching.AT_BEST.name, network=NETWORK.name, predicted=PREDICTED[noise]).value
        for noise in (0.0, 1.0)
    )
    return (
        "What to expect: a network that was trained on labels without noise is one fixed function. It can learn how noisy the "
        "labels of a prompt are only from the prompt itself, and this never paid in training. So its λ has no reason to follow "
        "σ²d; that of a network trained on noisy labels has.",
        f"Best λ, where Bayes' rule has 0 and {PREDICTED[1.0]:g}: {'; '.join(told)}.",
        f"R² about the best ridge regression for {NETWORK.name}: {quiet:.3f} without noise, {loud:.3f} at σ = 1.",
    )


STUDY = Study(
    name="ridge-match",
    title="Does the best-matching ridge penalty follow the noise of the labels?",
    measures=(
        *(_measure(network, network.name, smoke=network == NETWORK) for network in NETWORKS),
        _measure(DENSE, DENSE),
        _measure(f"python:{__name__}:{planted.__name__}", PLANTED),
    ),
    claims=(
        sourced(
            "The answers of two-layer networks match ridge regression at one λ.",
            where(matching.AT_BEST, network=TWO, predicted=0.0).between(low=0.95),
            needs={NETWORK: 0.01},
        ),
        sourced(
            "The best λ moves with the noise of the labels as ridge regression predicts.",
            where(matching.SLOPE, network=TWO).between(0.8, 1.2),
        ),
        own(
            "Networks trained without noise keep their λ, whatever the noise of the labels.",
            where(matching.SLOPE, network=TRAINED).between(-0.25, 0.25),
        ),
        own(
            "At noise σ = 1 the best λ of networks trained without noise is less than half of what Bayes' rule asks for.",
            where(matching.BEST, network=TRAINED, predicted=PREDICTED[1.0]).between(high=0.5 * PREDICTED[1.0]),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source prints no figures here and cites Akyürek et al. 2023, who train on noisy labels too. It trains without "
        "noise, and so do we; only the prompts of the test are noisy. 'As ridge predicts' is judged by a slope: that of log best "
        "λ on log σ²d, over σ = 0.1 to 1; it is 1 if λ follows the noise, and 0 if λ stays.",
        "λ is in the sum convention, XᵀX + λI. The noise without which nothing is predicted (σ = 0) is left out of the slope.",
    ),
)
