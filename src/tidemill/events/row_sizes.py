"""How many bytes each row of an Arrow record batch has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

FIXED_BYTES = 9  # of a value, with its share of what says whether it is there


def of(batch: pa.RecordBatch) -> Numbers:
    """Bytes of each row."""
    sizes = np.full(batch.num_rows, FIXED_BYTES * batch.num_columns, np.int64)
    for array in batch.columns:
        if pa.types.is_string(array.type):
            sizes += pc.fill_null(pc.binary_length(array), 0).to_numpy()
        elif pa.types.is_list(array.type):
            inner = of(pa.RecordBatch.from_arrays([array.flatten()], ["element"]))
            sizes += np.bincount(pc.list_parent_indices(array).to_numpy(), inner, batch.num_rows).astype(np.int64)
    return sizes
