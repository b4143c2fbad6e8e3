"""The theorem audit: numbered statements of the source paper, run, measured and judged.

Source: J. Chen et al., "Learning Discretized Neural Networks under Ricci Flow", arXiv 2302.03390
(version 3; JMLR 25, 2024). Numbers of equations and theorems are those of that version.
"""

from .audit.frame import Claim, Evidence, Measurement, Verdict, known_claims, run_claim

__all__ = ["Claim", "Evidence", "Measurement", "Verdict", "known_claims", "run_claim"]
