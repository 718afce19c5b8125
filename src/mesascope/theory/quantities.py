"""The variables of all statements, each with one name, one symbol and one meaning."""

from mesascope.theory.expressions import Expression, Natural, Operand, Real, Sequence


def _real(name: str, symbol: str, meaning: str) -> Real:
    return Real(name=name, symbol=symbol, meaning=meaning)


def _sequence(name: str, symbol: str, meaning: str) -> Sequence:
    return Sequence(name=name, symbol=symbol, meaning=meaning)


def _table(name: str, symbol: str, meaning: str) -> Sequence:
    return Sequence(name=name, symbol=symbol, meaning=meaning, axes=2)


a = _real("a", "a", "curvature: Σ x² over the examples")
b = _real("b", "b", "Σ x·y over the examples")
c = _real("c", "c", "Σ y² over the examples")
eta = _real("eta", "η", "step size")
w = _real("w", "w", "weight before the step")
w_star = _real("w_star", "w*", "least-squares weight")
error = _real("e", "e", "error of the weight, w − w*")

before = _real("before", "E₀", "loss, or squared error, before")
after = _real("after", "E₁", "the same after one step")
later = _real("later", "E₂", "the same after two steps")
last = _real("last", "E₃", "the same after three steps")
rate = _real("rate", "ρ²", "squared contraction factor of one step")
factor = _real("factor", "f", "step factor, η(2 − ηa)")
energy = _real("energy", "G", "gradient energy, g²")

p = _real("p", "p", "attention weight of the first example")
y_1 = _real("y_1", "y₁", "smaller target")
y_2 = _real("y_2", "y₂", "larger target")
u = _real("u", "u", "step product of a channel, or of uniform attention: η·curvature")
v = _real("v", "v", "step product of another channel, or of softmax attention")
a_p = _real("a_p", "a_p", "attention-weighted curvature, Σ p·x²")

gain_qk = _real("q", "q", "key–query gain")
gain_vo = _real("o", "o", "value–output gain")

a_1 = _real("a_1", "a₁", "curvature of the first channel")
a_2 = _real("a_2", "a₂", "curvature of the second channel")
kappa = _real("kappa", "κ", "gain that the channels share")
kappa_1 = _real("kappa_1", "κ₁", "gain of the first channel")
kappa_2 = _real("kappa_2", "κ₂", "gain of the second channel")
g_1 = _real("g_1", "g₁", "gradient in the first channel")
g_2 = _real("g_2", "g₂", "gradient in the second channel")
u_1 = _real("u_1", "u₁", "update, or gradient after the step, in the first channel")
u_2 = _real("u_2", "u₂", "update, or gradient after the step, in the second channel")
loss_1 = _real("l_1", "L₁", "loss of the first channel before")
loss_2 = _real("l_2", "L₂", "loss of the second channel before")
next_1 = _real("m_1", "L₁′", "loss of the first channel after")
next_2 = _real("m_2", "L₂′", "loss of the second channel after")

d = Natural(name="d", meaning="number of channels")
n = Natural(name="n", meaning="number of steps, or of examples")
m = Natural(name="m", meaning="number of outputs, or of vectors")
i = Natural(name="i")
j = Natural(name="j")
k = Natural(name="k")
energies = _sequence("G", "G", "gradient energy per channel")
gradients = _sequence("g", "g", "gradient per channel")
updates = _sequence("u", "u", "update, or gradient after the step, per channel")
gains = _sequence("kappa", "κ", "gain per channel")
path = _sequence("w", "w", "weight after each step")

tolerance = _real("eps", "ε", "target squared error, or largest relative rounding error")
bound = _real("h", "h", "smallest or largest target, largest squared contraction factor, or largest squared cosine")
scores = _sequence("s", "s", "attention score of each example")
targets = _sequence("y", "y", "target of each example")
inputs = _sequence("x", "x", "input of each example")
curvatures = _sequence("a", "a", "curvature per channel")
weights = _table("W", "W", "weight before the step, per output and channel")
weights_after = _table("V", "W′", "the same after the step")
solution = _table("S", "W*", "least-squares weight, per output and channel")
chebyshev = _sequence("t", "t", "Chebyshev polynomials at x")
chebyshev_0 = _sequence("T", "T", "Chebyshev polynomials at x₀")
coefficients = _sequence("c", "c", "coefficients of a polynomial")
step_sizes = _sequence("alpha", "α", "step size of conjugate gradient, per step")
momenta = _sequence("beta", "β", "momentum of conjugate gradient, per step")
target_weights = _sequence("w_star", "w*", "least-squares weight, per channel")
iterates = _table("w", "w", "weight, per step and channel")
residuals = _table("r", "r", "residual, per step and channel")
directions = _table("p", "p", "search direction, per step and channel")
root = _real("z", "z", "square root of the condition number")
ratio = _real("rho", "ρ", "(√κ − 1)/(√κ + 1)")
at = _real("x", "x", "where a polynomial is evaluated, relative to the spectrum")
at_0 = _real("x_0", "x₀", "the point 0, relative to the spectrum")
sink = _real("s", "s", "share of the attention that goes to a sink, which adds nothing")
shift = _real("delta", "δ", "difference between the curvature and the one that the gain was made for")
rate_of_gain = _real("tau", "τ", "learning rate of the training of the step size η")
u_of = _sequence("u", "u", "left argument of a form, per token")
v_of = _sequence("v", "v", "right argument of a form, or value, per token")
dual = _sequence("alpha", "α", "dual coefficient of each example")
query = _real("q", "q", "the query's key–query coordinate")
partial = _sequence("s", "s", "computed partial sums")
in_product = _sequence("theta", "θ", "relative rounding error of each product with the query")
in_value = _sequence("phi", "φ", "relative rounding error of each product with a value")
in_sum = _sequence("psi", "ψ", "relative rounding error of each addition")
step_per_channel = _sequence("eta", "η", "step size per channel")
examples = _table("x", "x", "input, per example and channel")
direction = _sequence("p", "p", "a vector over channels")
vectors = _table("u", "u", "vectors, with their coordinates")

products = _table("B", "B", "Σ x·y over the examples, per output and channel")


def gradient(weight: Operand) -> Expression:
    """g = a·w − b: half the derivative of `loss`."""
    return a * weight - b


def step(weight: Expression) -> Expression:
    """The weight after one step of gradient descent: w − η·g."""
    return weight - eta * gradient(weight)


def loss(weight: Expression) -> Expression:
    """Σ (y − w·x)² over the examples, multiplied out; a sum, not a mean."""
    return a * weight**2 - 2 * b * weight + c
