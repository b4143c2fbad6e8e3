"""Files that are written while a flow runs: whole or not at all, and read back without code.

``Journal`` serves checkpoints; ``MetricStore`` streams metrics to zarr, ``StoredMetrics`` reads
them back one at a time; ``NpzReader`` reads .npz files. Everything read back is checked: see
``damage``.
zarr is imported when it is first used.
"""

from ..atomic import storage_errors, write_atomically
from .damage import reading
from .grids import grid_from_record, grid_record
from .journal import Journal
from .npz import NpzReader
from .states import existing, field_value, npz_path, read_stored_states, write_stored_states
from .store import MetricStore
from .stored import StoredMetrics

__all__ = [
    "Journal", "MetricStore", "NpzReader", "StoredMetrics", "existing", "field_value",
    "grid_from_record", "grid_record", "npz_path", "read_stored_states", "reading",
    "storage_errors", "write_atomically", "write_stored_states",
]  # fmt: skip
