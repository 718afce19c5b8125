"""Where the search for a family with coefficients per layer, or with a matrix, starts."""

from collections.abc import Mapping

from mesascope.instruments.identification import fixed_matrix, per_layer

FINDERS: Mapping[str, per_layer.Finder] = {
    "gradient-descent:per-layer": per_layer.descent,
    "heavy-ball:per-layer": per_layer.heavy_ball,
    "gd-plus-plus:per-layer": per_layer.transformed,
    "preconditioned-gradient-descent:fixed-matrix": fixed_matrix.descent,
    "preconditioned-conjugate-gradient:fixed-matrix": fixed_matrix.conjugate,
}
"""How the coefficients of a variable family are found from a subject's answers, by the family's name."""
