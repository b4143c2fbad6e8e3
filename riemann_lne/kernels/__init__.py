"""Fused kernels: right-hand sides and curvatures in one pass over the grid, in compiled code.

The formulas are those of ``curvature`` and ``flows``, run on symbols; see ``expressions``.
"""

from ..threads import thread_count
from .cache import cache_directory, clear_cache
from .cpu import ORDERS, Kernel, compile_kernel
from .emit_cuda import emit_cuda
from .functions import ricci, ricci_deturck, scalar_curvature
from .fused import fused_flow, why_not
from .trace import FORMULAS

__all__ = [
    "FORMULAS",
    "ORDERS",
    "Kernel",
    "cache_directory",
    "clear_cache",
    "compile_kernel",
    "emit_cuda",
    "fused_flow",
    "ricci",
    "ricci_deturck",
    "scalar_curvature",
    "thread_count",
    "why_not",
]
