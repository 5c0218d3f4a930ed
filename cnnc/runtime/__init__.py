"""Data, training and measuring for compiled models.

Works on any model that cnnc compiled, with NumPy alone; never imports the compiler.
"""

from __future__ import annotations

from cnnc.runtime.dataset import Dataset, load_dataset
from cnnc.runtime.errors import DataError, TrainingError
from cnnc.runtime.history import EpochResult, History, format_epoch
from cnnc.runtime.idx import read_idx
from cnnc.runtime.images import read_images
from cnnc.runtime.inputs import for_input
from cnnc.runtime.metrics import (
    Evaluation,
    accuracy,
    confusion_matrix,
    evaluate,
    format_confusion,
    precision,
    recall,
)
from cnnc.runtime.model import Model
from cnnc.runtime.npz import read_npy, read_npz
from cnnc.runtime.progress import Progress, choose_progress
from cnnc.runtime.shuffle import batches
from cnnc.runtime.train import fit

__all__ = [
    "DataError",
    "Dataset",
    "EpochResult",
    "Evaluation",
    "History",
    "Model",
    "Progress",
    "TrainingError",
    "accuracy",
    "batches",
    "choose_progress",
    "confusion_matrix",
    "evaluate",
    "fit",
    "for_input",
    "format_confusion",
    "format_epoch",
    "load_dataset",
    "precision",
    "read_idx",
    "read_images",
    "read_npy",
    "read_npz",
    "recall",
]
