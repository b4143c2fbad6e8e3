"""Root causes: one source of several verdicts, so that the summary can count sources too."""

from __future__ import annotations

CAUSES: dict[str, str] = {
    "eq-16-is-no-hessian": "The metric of Eq. 16, I - t t^T, is not the Hessian of the potential "
    "of Eq. 14, which is diag(sech^2(tau xi_i)): appendix E.1 treats cosh of a vector as one "
    "number. What is true of the Hessian metric (it belongs to the divergence, is positive "
    "definite, is flat) is not true of Eq. 16.",
    "tanh-saturates": "tanh(tau xi) tends to +-1 far from the origin, and its slope to 0: the "
    "potential is strongly convex on bounded sets alone, with a modulus that falls with their "
    "size, and Eq. 16 does not approach the identity.",
    "scaling-of-rn": "If g(x, t) solves the flow on R^n so does g(lambda x, lambda^2 t): it has "
    "the same sup norm, an L2 norm of any size and any time scale. So no exponential rate can "
    "hold there, and no ball in L2 alone is small for n >= 3.",
    "gauge": "A flat metric in other coordinates is flat: the Ricci flow does not move it, and "
    "tends to such a metric and not to the background.",
    "entropy-carried-over": "Facts about the entropy on the simplex (the projection is a "
    "renormalisation, the squared radius is the value of one function at n) are carried over to "
    "the potential of Eq. 14.",
    "exact-inverse-overlooked": "I - t t^T differs from the identity by a matrix of rank one, so "
    "that its exact inverse is I + t t^T / (1 - |t|^2), at the cost of a few passes over n "
    "numbers. Neglecting a term is not needed.",
    "translations-are-no-directions": "Eq. 32 divides differences of metrics after steps on "
    "translated images by the translations. These are not derivatives along directions of weight "
    "space, so the result is not the Ricci tensor there, and N = 0 says nothing about a flow.",
    "fixed-integral": "The integral in Cor. 33 has fixed ends, 0 and T, while the other side "
    "falls with t: one of the two has to follow the other.",
    "our-addition": "The statement is not in the paper in these words: it was added when the "
    "audit was written, because the paper uses a definition as if it were preserved in time.",
}
"""Root causes by id."""
