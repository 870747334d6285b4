"""Writes a TFLite file from the objects of a generated schema."""

from __future__ import annotations

from typing import Any

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_tflite.runtime.tflite_file import IDENTIFIER


def pack_tflite(model: Any, schema: Any) -> bytes:
    """Serialises; constants begin at multiples of 16 bytes, as the schema demands and Python's builder does not know.

    Args:
        model: a `ModelT`; its buffers are changed.
        schema: the generated module that it comes from.

    Raises:
        ModelRefusedError: the file would have more than 2 GiB, which is as far as a flatbuffer's offsets reach.
    """
    # Comes with LiteRT and with TensorFlow, without type information.
    import flatbuffers  # type: ignore[import-untyped]

    class Aligned:
        def __init__(self, data: Any) -> None:
            self._data = np.asarray(data, dtype=np.uint8)

        def Pack(self, builder: Any) -> Any:  # noqa: N802
            builder.StartVector(1, self._data.size, 16)
            builder.head -= self._data.size
            builder.Bytes[builder.head : builder.head + self._data.size] = self._data.tobytes()
            vector = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    model.buffers = [buffer if buffer.data is None else Aligned(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(1 << 20)
    try:
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    except flatbuffers.builder.BuilderSizeError:
        raise ModelRefusedError(
            f"with its names and metadata the TFLite file would have more than {flatbuffers.Builder.MAX_BUFFER_SIZE} bytes, the most that "
            "a flatbuffer can have: make layers smaller, or export a part of the network"
        ) from None
    return bytes(builder.Output())
