"""Who has been found to be a duplicate so far."""

import numpy as np
from numpy.typing import NDArray

from preprocessing.deduplicate.tables import Workspace, ordinals, rows_of_file


def exact_duplicates(workspace: Workspace, file: int, documents: int) -> NDArray[np.bool_]:
    """Whether each document of a file is equal to an earlier one: bool [documents]."""
    return _decided(workspace, "exact_duplicates", 2, file, documents)


def near_duplicates(workspace: Workspace, file: int, documents: int) -> NDArray[np.bool_]:
    """Whether each document of a file is similar to an earlier one: bool [documents]."""
    return _decided(workspace, "near_duplicates", 3, file, documents)


def _decided(workspace: Workspace, step: str, columns: int, file: int, documents: int) -> NDArray[np.bool_]:
    """The documents of a file that are in the first column of the tables of a step."""
    dropped = np.zeros(documents, dtype=np.bool_)
    dropped[ordinals(rows_of_file(workspace.decided(step), columns, file)[:, 0])] = True
    return dropped
