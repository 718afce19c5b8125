"""What the study `iterate-probes` measures: its targets, its hand-built networks, and its measures."""

from collections.abc import Mapping, Sequence

from mesascope.instruments.reading import plain_probes, probes
from mesascope.instruments.reading.iterates import Form, Iterate, Method, Solver
from mesascope.studies.conditioning.networks import ISOTROPIC, ISOTROPIC_100, MIXED, MIXED_100, RIDGE, Conditioned, at
from mesascope.studies.measure import Measure
from mesascope.types import Site

CG: Method = "conjugate gradient"
GD: Method = "gradient descent"
METHODS: tuple[Method, Method] = (CG, GD)
DUAL: Mapping[Method, Solver] = {method: Solver(method=method, space="data", ridge=RIDGE) for method in METHODS}
FEATURE: Mapping[Method, Solver] = {method: Solver(method=method, ridge=RIDGE) for method in METHODS}
STEPS = (1, 2, 4, 8, 12)
READ_AFTER = (1, 3, 6, 9, 12)
"""The layers after which streams are read."""
APART = 100.0
"""The κ at which the two methods' answers differ most clearly from each other and from the limit after a few steps."""
STORES, RUNS = (
    "construction:primal-conjugate-gradient?iterations=12",
    (f"construction:data-space-conjugate-gradient?iterations=6&ridge={RIDGE}"),
)
"""Hand-built networks that run conjugate gradient: one stores w_k at the query after layer k + 1; one stores, at every example,
its number of α_k, and only the answer at the query, after layer 2k."""
ISOTROPIC_ONES, MIXED_ONES = (ISOTROPIC, ISOTROPIC_100), (MIXED, MIXED_100)
TRAINED = tuple(network.name for network in (*ISOTROPIC_ONES, *MIXED_ONES))


def site(layer: int) -> str:
    """The site after a layer, counted from 1."""
    return str(Site(layer=layer - 1, kind="resid_post"))


def after(named: object) -> int:
    """The layer, counted from 1, of a site's name."""
    return Site.parse(str(named)).layer + 1


def target(method: Method, form: Form, step: int) -> str:
    """What a target is called."""
    mark = {"weights": f"w_{step}", "dual": f"α_{step}", "answer": f"w_{step}·x_q"}[form]
    return f"{mark} of {method}"


def _targets(steps: Sequence[int], network: Conditioned | str) -> dict[str, Iterate]:
    """Every form of both methods' iterates, in data space for the network that runs it, and matched for trained networks."""
    return {
        target(method, form, step): Iterate(
            solver=DUAL[method] if form == "dual" or network == RUNS else FEATURE[method],
            step=step,
            form=form,
            matched=form == "weights" and isinstance(network, Conditioned),
        )
        for method in METHODS
        for form in ("weights", "dual", "answer")
        for step in steps
    }


def plain(network: Conditioned | str, condition: float, *, form: Form = "dual") -> Measure:
    """The source's probes at one κ: of α, as it has them, or of w, which does not depend on the order of the examples."""
    name = network if isinstance(network, str) else network.name
    return Measure(
        instrument=plain_probes.NAME,
        network=network,
        label={"network": name, "κ": condition, "probed for": "α" if form == "dual" else "w"},
        prompts={"problems": 500},
        options={"solvers": tuple((DUAL if form == "dual" else FEATURE).values()), "form": form},
        task=at(condition),
        at_smoke=form == "dual" and (network in (ISOTROPIC, RUNS) or (network == MIXED and condition == APART)),
    )


def probed(network: Conditioned | str, condition: float, layers: Sequence[int], steps: Sequence[int]) -> Measure:
    """Ours: every form of several steps' iterates after several layers."""
    name = network if isinstance(network, str) else network.name
    return Measure(
        instrument=probes.NAME,
        network=network,
        label={"network": name, "κ": condition},
        prompts={"fit": 1024, "score": 512},
        options={
            "targets": _targets(steps, network),
            "sites": tuple(Site(layer=layer - 1, kind="resid_post") for layer in layers),
        },
        task=at(condition),
        at_smoke=network not in (ISOTROPIC_100, MIXED_100),
        smoke_options={"targets": _targets((1, 2), network), "sites": (Site(layer=0, kind="resid_post"),)},
    )
