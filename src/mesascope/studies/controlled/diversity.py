"""Does it help to penalise heads for looking at the same dimensions? Source C, section 9.6."""

from collections.abc import Sequence

from mesascope.studies.bench import Bench
from mesascope.studies.controlled.comparing import MSE, against_description, error, explained, means, powers, relative
from mesascope.studies.controlled.networks import BALANCED, BASELINE, CONFIGURATIONS, DIVERSE, ORACLE, diversity
from mesascope.studies.rules import Derived, where
from mesascope.studies.study import Study, sourced
from mesascope.types import Figure, Measurement

CELLS = diversity()
COMPARISONS = len(CONFIGURATIONS) + 2
LARGEST = 0.035
"""The largest effect of the diversity term that the source prints in any configuration is 3.3 %."""


def _over(variant: str, *groups: str) -> Derived:
    return relative(where(MSE.quantity, group=groups), variant, BASELINE, comparisons=COMPARISONS)


CONTRASTS = (_over(DIVERSE, *CONFIGURATIONS, BALANCED), _over(ORACLE, BALANCED))


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (means(found), *against_description(found))


STUDY = Study(
    name="diversity",
    source="C",
    title="Does it help to penalise heads for looking at the same dimensions of the input?",
    measures=(
        *error(CELLS),
        *explained([cell for cell in CELLS if cell.group in ("base_strong", BALANCED)]),
    ),
    claims=(
        sourced(
            f"In no configuration does the diversity term change the error by more than {LARGEST:.1%}.",
            _over(DIVERSE, *CONFIGURATIONS).between(-LARGEST, LARGEST),
        ),
        sourced(
            "Over several seeds it makes no difference in the widest network: less than 1 % either way.",
            _over(DIVERSE, "base_strong").between(-0.01, 0.01),
            published=("diversity_regularisation/mean_delta_percent", "diversity_regularisation/multi_seed_t"),
        ),
        sourced(
            "Where every band counts alike for the label, it does not help either.",
            _over(DIVERSE, BALANCED).between(low=0.0),
            published=tuple(f"diversity_regularisation/balanced/{name}" for name in ("baseline", "spectral")),
        ),
        sourced(
            "There, heads that are forced into bands are worse than free ones.",
            _over(ORACLE, BALANCED).between(low=0.0),
            published=tuple(f"diversity_regularisation/balanced/{name}" for name in ("baseline", "oracle")),
        ),
    ),
    figures=_figures,
    notes=lambda found, bench: powers(found, CONTRASTS),
    departures=(
        "The source prints six of seven configurations, and neither depth, batch nor optimiser: ours are two layers of attention "
        "with LayerNorm, 2,000 steps of 16 prompts of 16 examples (3,000 and 5,000 steps there), Adam with OneCycle up to 0.003. "
        "Its printed errors differ between configurations that share all printed sizes, so they are not compared, only "
        "differences are.",
        "The diversity term is the mean pairwise cosine of heads' key energies by dimension, in the first layer; the source's is "
        "not printed. The low-band error of the source is not measured.",
    ),
)
