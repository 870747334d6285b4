"""Makes a deployed network take pixels 0 .. 255, with their normalisation inside.

With centred pixels q = p - 128, the normalised image of channel c is `x = (p / 255 - mean) / std = scale q + offset`,

    scale = 1 / (255 std),    offset = (128 / 255 - mean) / std.

A convolution that reads the input takes both in, in float64 and with its zero padding, which is no pixel (`ir.ops.PixelConv2d`). In front
of everybody else, and of all with float numerics, stands an affine that rounds as float32 does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops.pixels import CENTRE
from fdabnn_deploy.transforms.base import Outcome


@dataclass(frozen=True)
class PixelFormat:
    """How the bytes of an image mean numbers.

    Attributes:
        mean: per channel of the network, of pixels scaled to 0..1.
        std: likewise.
        reversed_channels: whether the file has the channels of the network in the opposite order, blue in front.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    reversed_channels: bool = False

    @classmethod
    def of(cls, info: ModelInfo) -> PixelFormat | None:
        """That of a file with this input contract; None where it takes normalised images."""
        if info.input_format == "float32" or info.mean is None or info.std is None:
            return None
        return cls(info.mean, info.std, info.channel_order == "bgr")

    @property
    def scale(self) -> DoubleArray:
        """Per channel of the file."""
        return self._ordered(1 / (255 * np.array(self.std, np.float64)))

    @property
    def offset(self) -> DoubleArray:
        """Per channel of the file."""
        mean, std = (np.array(values, np.float64) for values in (self.mean, self.std))
        return self._ordered((CENTRE / 255 - mean) / std)

    def _ordered(self, values: DoubleArray) -> DoubleArray:
        return values[::-1] if self.reversed_channels else values


def take_pixels(graph: Graph, pixels: PixelFormat, *, inside_layers: bool) -> Outcome:
    """Rewrites the graph's only input.

    Args:
        graph: deployed, before exact numerics.
        pixels: of its input.
        inside_layers: whether convolutions take the normalisation in; otherwise they keep the trained weights.
    """
    (name,) = graph.inputs
    source = graph[name]
    assert isinstance(source.op, ops.Input)
    editor = Editor(graph)
    editor.set(name, ops.Input(source.op.shape, pixels=True), (), same_values=False)
    centred = editor.fresh(f"{name}/centred")
    applied = 0
    for node, layer, pads in _layers(graph, name) if inside_layers else ():
        weight = layer.weight[:, ::-1] if pixels.reversed_channels else layer.weight
        ordered = ops.Conv2d(np.ascontiguousarray(weight), layer.bias, *_geometry(layer))
        editor.set(node.name, ops.PixelConv2d(ordered, pixels.scale, pixels.offset, pads), [centred])
        applied += 1
    others = [node for node in graph.consumers(name) if not _taken(editor, node.name)]
    rest = [node for node in others if _is_read(editor, node.name)]
    if rest or name in graph.outputs:
        _normalise(editor, source, centred, pixels, rest)
    editor.add(Node(centred, ops.CentredPixels(), (name,), source.module), near=name)
    return Outcome(editor.finish(), applied)


def _geometry(layer: ops.Conv2d) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]:
    return layer.stride, layer.padding, layer.dilation, layer.groups


def _layers(
    graph: Graph, name: str
) -> list[tuple[Node, ops.Conv2d, tuple[tuple[int, int], tuple[int, int]]]]:
    """The convolutions that read the input, also behind a border of zeros."""
    found = []
    for node in graph.consumers(name):
        if isinstance(node.op, ops.Conv2d) and node.op.groups == 1:
            found.append((node, node.op, ((0, 0), (0, 0))))
        elif _is_border(graph, node):
            assert isinstance(node.op, ops.Pad)
            _, rows, columns = node.op.pads
            found += [
                (reader, reader.op, (rows, columns))
                for reader in graph.consumers(node.name)
                if isinstance(reader.op, ops.Conv2d) and reader.op.groups == 1
            ]
    return found


def _is_border(graph: Graph, node: Node) -> bool:
    op = node.op
    return (
        isinstance(op, ops.Pad)
        and op.value == 0
        and len(op.pads) == 3
        and op.pads[0] == (0, 0)
        and node.name not in graph.outputs
    )


def _taken(editor: Editor, name: str) -> bool:
    return isinstance(editor[name].op, ops.PixelConv2d)


def _is_read(editor: Editor, name: str) -> bool:
    """Whether anybody needs what a reader of the input makes: a border whose readers have all taken it in is not needed."""
    return not isinstance(editor[name].op, ops.Pad) or bool(editor.consumers(name)) or editor.is_output(name)


def _normalise(editor: Editor, source: Node, centred: str, pixels: PixelFormat, readers: list[Node]) -> None:
    """The normalised image for those that read it as it is."""
    before = centred
    if pixels.reversed_channels:
        # A convolution of one tap each moves the channels; its sums are integers.
        order = np.eye(len(pixels.mean), dtype=np.float32)[::-1]
        before = editor.fresh(f"{source.name}/ordered")
        weight = np.ascontiguousarray(order)[:, :, None, None]
        editor.add(Node(before, ops.Conv2d(weight, None), (centred,), source.module), near=source.name)
    normalised = editor.fresh(f"{source.name}/normalised")
    straight = PixelFormat(pixels.mean, pixels.std)
    editor.add(
        Node(
            normalised,
            ops.Affine(straight.scale, straight.offset),
            (before,),
            source.module,
            trained=source.trained,
        ),
        near=source.name,
    )
    editor.give_back(source.name, normalised)
    for node in readers:
        inputs = [normalised if read == source.name else read for read in node.inputs]
        editor.set(node.name, node.op, inputs)
