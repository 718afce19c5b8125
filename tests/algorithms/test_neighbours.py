import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsRegressor

from mesascope.algorithms import MeanLabel, NearestExample, NearestNeighbours, run
from mesascope.testing import check_algorithm
from mesascope.types import Prompts


@pytest.mark.parametrize("neighbours", [1, 3, 5])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_it_is_scikit_learns_and_conforms(make, neighbours, weights):
    algorithm = NearestNeighbours(neighbours=neighbours, weights=weights)
    check_algorithm(algorithm)
    prompts = make()
    found = run(algorithm, prompts).predictions[1]
    for i in range(6):
        fitted = KNeighborsRegressor(neighbours, weights=weights).fit(prompts.xs[i].numpy(), prompts.ys[i].numpy())
        np.testing.assert_allclose(found[i].numpy(), fitted.predict(prompts.queries[i].numpy()), rtol=1e-9)


def test_one_is_the_nearest_example_and_all_are_the_mean(make):
    prompts = make()
    one, all_of_them = (run(NearestNeighbours(neighbours=k), prompts).predictions[1] for k in (1, 10_000))
    torch.testing.assert_close(one, run(NearestExample(), prompts).predictions[1])
    torch.testing.assert_close(all_of_them, run(MeanLabel(), prompts).predictions[1])


def test_examples_at_the_query_decide_alone_and_the_first_of_equally_near_ones_are_taken():
    xs = torch.tensor([[[0.125], [0.375], [0.125], [0.5]]], dtype=torch.float64)
    queries = torch.tensor([[[0.125], [0.25]]], dtype=torch.float64)
    prompts = Prompts(
        xs=xs,
        ys=torch.tensor([[1.0, 5.0, 3.0, 7.0]], dtype=torch.float64),
        queries=queries,
        targets=torch.zeros(1, 2, dtype=torch.float64),
        target_variance=torch.ones(1, dtype=torch.float64),
    )
    by_distance = run(NearestNeighbours(neighbours=3, weights="distance"), prompts).predictions[1, 0, 0]
    assert float(by_distance) == 2.0
    nearest = run(NearestNeighbours(neighbours=1), prompts).predictions[1, 0]
    assert nearest.tolist() == [1.0, 1.0]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 0}, "neighbours must be a whole number of at least 1; got 0"),
        ({"weights": "near"}, "weights must be one of 'uniform', 'distance'; got 'near'"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NearestNeighbours(**options)
