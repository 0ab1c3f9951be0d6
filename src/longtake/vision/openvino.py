"""vision.openvino: a vision tower of torch in, the same tower computed by OpenVINO out. Knows no particular tower.

OpenVINO is Intel's runtime for trained networks (Apache-2.0; the extra `openvino`). It is for processors: at CLIP-L's
shapes it took a quarter of the time of torch in float32, and three quarters of that of torch in bfloat16 with a smaller
error; a fifth and three fifths in eight bits (benchmarks/tower.py, docs/log.md).
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from longtake.errors import ErrorCode, LongtakeError

VIEWS_AT_ONCE = 4
"""OpenVINO keeps the memory of its largest batch; with more pictures at once it takes more, and hardly less time."""
GROUP = 128
"""So many neighbouring channels of what goes into a matrix share a scale. 64 and 256 take longer; one for all would be
ruled by the few channels whose numbers are large in trained towers."""
STEPS = 127
"""Of int8 in either direction; -128 is left out, so that zero stays in the middle."""


class OpenvinoTower(nn.Module):
    """A vision tower of torch, converted once and computed by OpenVINO on the processor, in its bfloat16 or int8.

    Layer norms, softmax and sums of what layers add are kept in more bits. With eight bits the matrices are int8, one
    scale for each output; what goes into them is made int8 while it runs, by its own range, so nothing is calibrated.
    The torch tower is not needed afterwards.

    Args:
        tower: (T, 3, side_px, side_px) floats in, (T, H, W, C) features out, for any T.
        side_px: side of the pictures.
        eight_bits: int8 matrices. The features' relative error is two to three times that of bfloat16.

    Raises:
        LongtakeError: `environment.missing` without openvino; `usage.bad_option` where the tower is not on the
            processor, or is such that OpenVINO cannot compute it.
    """

    def __init__(self, tower: nn.Module, side_px: int, *, eight_bits: bool = False) -> None:
        super().__init__()
        like = next(tower.parameters())
        if like.device.type != "cpu":
            reason, advice = (
                f"OpenVINO computes on the processor, and the model is on {like.device}",
                "add --device cpu",
            )
            raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "tower", reason, advice)
        self._dtype = like.dtype
        # An encoder asks a tower's parameters where, and in what numbers, it takes its pictures.
        self.taken = nn.Parameter(torch.empty(0), requires_grad=False)
        with _openvino() as ov:
            core = _core()
            graph = _graph(ov, tower, side_px)
            if eight_bits:
                _in_eight_bits(ov, graph)
            # Where the processor has no instructions for bfloat16, OpenVINO would widen each number when it is used.
            numbers = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
            how = {
                "INFERENCE_PRECISION_HINT": numbers,
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP if eight_bits else 0,
            }
            self._request: Any = core.compile_model(graph, "CPU", how).create_infer_request()

    def forward(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        """(T, 3, side_px, side_px) normalised pixels to (T, H, W, C) features in the torch tower's dtype."""
        pixels = pixels_TCHW.detach().to(torch.float32).contiguous()
        return torch.cat([self._features(some) for some in pixels.split(VIEWS_AT_ONCE)])

    def _features(self, pixels_TCHW: torch.Tensor) -> torch.Tensor:
        (features_THWC,) = self._request.infer([pixels_TCHW.numpy()], share_inputs=True).values()
        return torch.from_numpy(features_THWC).to(self._dtype)


@cache
def _core() -> Any:
    """OpenVINO itself: one for the process, kept to its end.

    Each one gives the thread that makes it another stack for signals and puts the one before back when it goes. Of two
    that go in the order in which they came, the last would put back what is gone: the next Ctrl-C would be a crash.
    """
    import openvino

    return openvino.Core()


@contextmanager
def _openvino() -> Iterator[Any]:
    """The package. While it is imported and used it hears that `openvino_telemetry` is not there.

    With it, OpenVINO tells its makers of every import over the network, unless the user has found out and said no; a
    video's owner has not asked for that. OpenVINO has a stand-in that tells nobody, for those who lack that package.
    """
    absent: Any = {} if "openvino_telemetry" in sys.modules else {"openvino_telemetry": None}
    sys.modules.update(absent)
    try:
        with warnings.catch_warnings():
            # What torch's exporter and OpenVINO hold against each other's old names is not the user's to mend.
            warnings.simplefilter("ignore")
            import openvino
            import openvino.frontend.pytorch.fx_decoder

            yield openvino
    except ImportError as error:
        advice = 'pip install "longtake[openvino]"'
        raise LongtakeError(
            ErrorCode.ENVIRONMENT_MISSING, "openvino", "is needed to compute the tower", advice
        ) from error
    finally:
        for name in absent:
            del sys.modules[name]


def _graph(ov: Any, tower: nn.Module, side_px: int) -> Any:
    """OpenVINO's graph of a tower, in float32."""
    decoder: Any = ov.frontend.pytorch.fx_decoder.TorchFXPythonDecoder
    if next(tower.parameters()).dtype != torch.float32:
        # OpenVINO makes its numbers smaller itself, and eight bits want scales that are exact.
        tower = copy.deepcopy(tower).float()
    some = torch.zeros(2, 3, side_px, side_px)
    try:
        with torch.no_grad():
            views = torch.export.Dim("views", min=1, max=VIEWS_AT_ONCE)
            program = torch.export.export(tower, (some,), dynamic_shapes=({0: views},))
        table = torch.export.default_decompositions()
        # OpenVINO has attention in one piece, and is faster with it.
        table.pop(torch.ops.aten.scaled_dot_product_attention.default)
        exported = decoder(program.run_decompositions(table).module(), dynamic_shapes=True)
        frontend = ov.frontend.FrontEndManager().load_by_framework("pytorch")
        graph = frontend.convert(frontend.load(exported))
    except (RuntimeError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        reason = f"OpenVINO cannot compute this model's tower: {first}"
        raise LongtakeError(ErrorCode.USAGE_BAD_OPTION, "tower", reason, "leave it to torch") from error
    graph.reshape([-1, 3, side_px, side_px])
    return graph


def _in_eight_bits(ov: Any, graph: Any) -> None:
    """Put int8 numbers and a scale for each output in the place of every matrix of the graph."""
    ops = ov.opset13
    for product in list(graph.get_ordered_ops()):
        matrix_OI = _matrix_of(product)
        if matrix_OI is None:
            continue
        scale_O1 = np.abs(matrix_OI).max(axis=1, keepdims=True) / STEPS
        scale_O1[scale_O1 == 0] = 1
        steps_OI = np.rint(matrix_OI / scale_O1).astype(np.int8)
        widened = ops.multiply(ops.convert(ops.constant(steps_OI), "f32"), ops.constant(scale_O1))
        product.output(0).replace(ops.matmul(product.input_value(0), widened, False, True).output(0))


def _matrix_of(node: Any) -> Any:
    """The constant (outputs, inputs) that a node multiplies what comes in with; None where there is none."""
    if node.get_type_name() != "MatMul":
        return None
    turned = node.get_attributes()["transpose_b"]
    source = node.input_value(1).get_node()
    if source.get_type_name() == "Transpose":
        turned, source = not turned, source.input_value(0).get_node()
    if source.get_type_name() != "Constant" or len(source.shape) != 2:
        return None
    return source.get_data() if turned else source.get_data().T
