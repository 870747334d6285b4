"""The ctypes declarations of this package against the text of `c_api/fdabnn.h` and `training/layer.h`."""

from __future__ import annotations

import ctypes
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from fdabnn_deploy.native import bconv, binary_layer, conv_sum, library
from fdabnn_models.layers import fused

FOLDER = Path(__file__).parent
TYPES: dict[str, Any] = {
    "int": ctypes.c_int,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint8_t": ctypes.c_uint8,
    "size_t": ctypes.c_size_t,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "void": None,
}


def text(header: str) -> str:
    """A header without comments and directives, on one line."""
    content = (FOLDER / header).read_text(encoding="utf-8")
    content = re.sub(r"/\*.*?\*/|//[^\n]*|^#[^\n]*", " ", content, flags=re.DOTALL | re.MULTILINE)
    return " ".join(content.split())


def ctype(declared: str) -> Any:
    """The ctypes type for a type of C; all pointers have the same."""
    return ctypes.c_void_p if "*" in declared else TYPES[declared.replace("const ", "").strip()]


def fields(struct: str) -> list[tuple[str, Any]]:
    """The members of a struct by name and type, in order."""
    found = []
    for declaration in struct.split(";"):
        if declaration.strip():
            kind, names = re.fullmatch(r"((?:const )?\w+\s?\*?) ?(.*)", declaration.strip()).groups()  # type: ignore[union-attr]
            found += [(name.strip(), ctype(kind)) for name in names.split(",")]
    return found


def structs(header: str, pattern: str) -> dict[str, list[tuple[str, Any]]]:
    return {name: fields(body) for name, body in re.findall(pattern, text(header))}


def functions(header: str) -> dict[str, tuple[Any, list[Any]]]:
    """Result and parameters of every function, by its name without the prefix."""
    found = {}
    for result, name, listed in re.findall(
        r"(?:^|[;{}] )([\w\s]+?\*?) ?fdabnn_(\w+)\(([^)]*)\);", text(header).replace(";", "; ; ")
    ):
        parameters = (
            [] if listed == "void" else [re.sub(r"\w+$", "", p.strip()).strip() for p in listed.split(",")]
        )
        found[name] = ctype(result.strip()), [ctype(parameter) for parameter in parameters]
    return found


STRUCTS = structs("c_api/fdabnn.h", r"typedef struct fdabnn_(\w+) \{([^}]*)\}")


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("bmaxpool_params", library._CBmaxpool),
        ("bconv_params", bconv._CBconv),
        ("conv_sum_term", conv_sum._CTerm),
    ],
)
def test_structs(name: str, declared: type[ctypes.Structure]) -> None:
    assert STRUCTS[name] == [tuple(field) for field in declared._fields_]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("layer_params", binary_layer.BinaryLayerParams), ("conv_sum_params", conv_sum.ConvSumParams)],
)
def test_structs_of_integers(name: str, parameters: Any) -> None:
    """They go as arrays of int32, in the order of the header's members."""
    assert {kind for _, kind in STRUCTS[name]} == {ctypes.c_int32}
    assert [member for member, _ in STRUCTS[name]] == [field.name for field in dataclasses.fields(parameters)]


def test_functions() -> None:
    pointers = (ctypes.c_void_p, ctypes.c_char_p)

    def plain(kind: Any) -> Any:
        return ctypes.c_void_p if kind in pointers else kind

    declared = {
        name: (plain(result), [plain(parameter) for parameter in parameters])
        for name, (result, parameters) in library.SIGNATURES.items()
    }
    assert declared == functions("c_api/fdabnn.h")


@pytest.mark.parametrize(("name", "declared"), [("Binarise", fused._Binarise), ("Norm", fused._Norm)])
def test_structs_of_training(name: str, declared: type[ctypes.Structure]) -> None:
    found = structs("training/layer.h", r"struct (\w+) \{([^}]*)\}")
    assert found[name] == [tuple(field) for field in declared._fields_]
