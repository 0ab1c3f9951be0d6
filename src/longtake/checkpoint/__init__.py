"""checkpoint: a folder or a name of the hub in, checked tensors in their modules out. Knows no family of models.

Whatever is wrong with a checkpoint is found before it is used and told at once: files that are missing, a weights file
that is cut off, tensors that are too many, too few, of another shape or not finite. Pickles are never opened, and
nothing that lies in a checkpoint is ever run.
"""

from __future__ import annotations

from longtake.checkpoint.building import UNBUILT as UNBUILT
from longtake.checkpoint.building import without_memory as without_memory
from longtake.checkpoint.eight_bits import Int8Linear as Int8Linear
from longtake.checkpoint.files import CONFIG as CONFIG
from longtake.checkpoint.files import INDEX as INDEX
from longtake.checkpoint.files import TOKENIZER as TOKENIZER
from longtake.checkpoint.files import WEIGHTS as WEIGHTS
from longtake.checkpoint.files import bad_checkpoint as bad_checkpoint
from longtake.checkpoint.files import read_config as read_config
from longtake.checkpoint.files import read_object as read_object
from longtake.checkpoint.files import require_files as require_files
from longtake.checkpoint.filling import fill as fill
from longtake.checkpoint.finding import folder_of as folder_of
from longtake.checkpoint.finding import without_hub as without_hub
from longtake.checkpoint.fitting import fitting as fitting
from longtake.checkpoint.fitting import stored_tensors as stored_tensors
from longtake.checkpoint.hollow import Hollow as Hollow
from longtake.checkpoint.hollow import hollow as hollow
from longtake.checkpoint.hollow import without_weights as without_weights
from longtake.checkpoint.origin import Origin as Origin
from longtake.checkpoint.placing import DTYPES as DTYPES
from longtake.checkpoint.placing import INT8 as INT8
from longtake.checkpoint.placing import Placement as Placement
from longtake.checkpoint.placing import Share as Share
from longtake.checkpoint.placing import placement as placement
from longtake.checkpoint.spreading import weights_bytes as weights_bytes
from longtake.checkpoint.stored import StoredTensor as StoredTensor
from longtake.checkpoint.stored import stored_in as stored_in
from longtake.checkpoint.sums import SUMS as SUMS
from longtake.checkpoint.sums import told_sums as told_sums
from longtake.checkpoint.sums import write_sums as write_sums
from longtake.checkpoint.writing import write_tensors as write_tensors
