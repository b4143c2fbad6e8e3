"""Certificates: exact proofs of what the audit measures, for a checker that does not know it.

``write`` writes one JSON file for each claim that can be proved, and the checker beside them.
``confirm`` runs that checker in a process of its own, as a reader would:

    python check.py FOLDER

The checker (``checker.py``) imports nothing of this library. The writers (``metric``,
``divergences``, ``discrete_flow``, ``flows``) state closed forms, rational points and values, which
the checker derives anew.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from riemann_lne.errors import InvalidArgumentError, MissingDependencyError
from riemann_lne.io import write_atomically

from ..audit.evidence import Verdict
from ..audit.frame import Outcome, register_certificate
from . import discrete_flow, divergences, flows, metric
from .parts import Certificate

__all__ = ["BUILDERS", "Certificate", "Proof", "certify", "confirm", "provable", "write"]

CHECKER = Path(__file__).with_name("checker.py")

BUILDERS: tuple[Callable[[], Certificate], ...] = (
    flows.not_parabolic,
    divergences.metric_of_divergence,
    metric.positive_definite,
    divergences.convexity,
    divergences.steepest_descent,
    divergences.simplex,
    divergences.simplex_radius,
    metric.ricci_flat,
    metric.closed_forms,
    flows.scaling,
    flows.epsilon_close,
    flows.pullback,
    metric.asymptotics,
    metric.inverses,
    metric.dominance,
    discrete_flow.translation,
    discrete_flow.defect,
    flows.evolution_inequality,
)
"""A function for each certificate, in the order of the paper's sections."""


@dataclass(frozen=True)
class Proof:
    """A certificate that was written, and what the checker said of it.

    Attributes
    ----------
    claim : str
        Id of the claim.
    file : str
        Name of the file in the folder.
    verdicts : tuple of Verdict
        Verdicts of the audit that agree with it.
    confirmed : bool
        Whether the checker found every step right.
    said : str
        The checker's line.
    """

    claim: str
    file: str
    verdicts: tuple[Verdict, ...]
    confirmed: bool
    said: str


def provable() -> list[Certificate]:
    """All certificates."""
    return [build() for build in BUILDERS]


def write(folder: Path, claims: Collection[str] | None = None) -> list[Certificate]:
    """Write the certificates of these claims (default: all) and ``check.py`` into a folder.

    Certificates that are there already are replaced; those of other claims stay.

    Raises
    ------
    InvalidArgumentError
        If the folder cannot be written to.
    """
    chosen = [c for c in provable() if claims is None or c.claim in claims]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for certificate in chosen:
            _put(folder / f"{certificate.claim}.json", certificate.json())
        _put(folder / "check.py", CHECKER.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"cannot write certificates to {folder}: {error}") from error
    return chosen


def _put(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def confirm(folder: Path, certificates: Collection[Certificate]) -> list[Proof]:
    """Run the folder's checker on the folder, and tell what it said of these certificates.

    Raises
    ------
    MissingDependencyError
        If SymPy, which the checker needs, is not installed.
    """
    if importlib.util.find_spec("sympy") is None:
        raise MissingDependencyError("sympy", "verify", "the checker of certificates")
    done = subprocess.run(
        [sys.executable, str(folder / "check.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = []
    for certificate in certificates:
        file = f"{certificate.claim}.json"
        line = next((text for text in done.stdout.splitlines() if f"  {file}" in text), "")
        said = line or done.stderr.strip() or "the checker said nothing of it"
        confirmed = line.startswith("proved  ")
        found.append(Proof(certificate.claim, file, certificate.verdicts, confirmed, said))
    return found


def certify(folder: Path, outcomes: Sequence[Outcome], link: Path = Path()) -> list[str]:
    """Write and check the certificates of these claims; mark the verdicts that they prove.

    Parameters
    ----------
    folder : Path
        Where certificates and checker go.
    outcomes : sequence of Outcome
        Verdicts of the audit; a verdict is marked only where the certificate agrees with it.
    link : Path
        Reports name the files by their path from here.

    Returns
    -------
    list of str
        Problems: a certificate that the checker refused, or a verdict that does
        not agree with its certificate.

    Raises
    ------
    InvalidArgumentError, MissingDependencyError
        See ``write`` and ``confirm``.
    """
    verdicts = {outcome.claim.id: outcome.verdict for outcome in outcomes}
    problems = []
    for proof in confirm(folder, write(folder, verdicts)):
        verdict = verdicts[proof.claim]
        if not proof.confirmed:
            problems.append(f"{proof.file} is not confirmed: {proof.said}")
        elif verdict not in proof.verdicts:
            wanted = " or ".join(proof.verdicts)
            problems.append(
                f"{proof.claim} is {verdict}, where its certificate proves: {wanted}. "
                "The verdict is not marked as proved"
            )
        else:
            register_certificate(
                proof.claim, Path(os.path.relpath(folder / proof.file, link)).as_posix()
            )
    return problems
