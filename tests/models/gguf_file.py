"""Reads the metadata of a GGUF file and writes whole ones (format version 3), no package needed."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
F32 = 0
I32 = 26
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
           11: "<q", 12: "<d"}
U32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]  # the fastest first
    kind: int               # F32 or I32
    data: bytes


class Array(NamedTuple):
    kind: int
    values: list


def read_metadata(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        if file.read(4) != MAGIC:
            raise ValueError(f"{path} is no GGUF file")
        _version, _tensors, pairs = struct.unpack("<IQQ", file.read(20))
        return {_read_string(file): _read_value(file, _unpack(file, "<I")) for _ in range(pairs)}


def _unpack(file: BinaryIO, code: str) -> Any:
    return struct.unpack(code, file.read(struct.calcsize(code)))[0]


def _read_string(file: BinaryIO) -> str:
    return file.read(_unpack(file, "<Q")).decode("utf-8", "surrogateescape")


def _read_value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _read_string(file)
    if kind == ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        return Array(inner, [_read_value(file, inner) for _ in range(count)])
    return _unpack(file, SCALARS[kind])


def _string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    """With its type in front. Numbers that are whole become u32, others f32."""
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    pack: Callable = _string if value.kind == STRING else \
        lambda one: struct.pack(SCALARS[value.kind], one)
    return struct.pack("<IIQ", ARRAY, value.kind, len(value.values)) + \
        b"".join(pack(one) for one in value.values)


def write(path: Path, metadata: dict[str, Any], tensors: list[Tensor]) -> None:
    head = MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += _string(key) + _value(value)
    offset = 0
    for tensor in tensors:
        head += _string(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += b"".join(struct.pack("<Q", size) for size in tensor.shape)
        head += struct.pack("<IQ", tensor.kind, offset)
        offset += _padded(len(tensor.data))
    with open(path, "wb") as file:
        file.write(head.ljust(_padded(len(head)), b"\0"))
        for tensor in tensors:
            file.write(tensor.data.ljust(_padded(len(tensor.data)), b"\0"))


def _padded(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
