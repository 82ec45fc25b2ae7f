"""Reads and writes GGUF files (format version 3), no package needed."""

import bisect
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
F32 = 0
I32 = 26
BF16 = 30
BYTES = {F32: 4, I32: 4, BF16: 2}  # of a number; of other kinds the padding is read too
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
           11: "<q", 12: "<d"}
U16, U32, INT32, FLOAT32, BOOL, STRING, ARRAY = 2, 4, 5, 6, 7, 8, 9


class Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]  # the fastest first
    kind: int               # ggml_type
    data: bytes


class Array(NamedTuple):
    kind: int
    values: list


class Number(NamedTuple):
    """A number of a kind that _value() would not choose, to be written."""
    kind: int
    value: int | float


def read_metadata(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return _read_head(file)[0]


def read_tensors(path: Path) -> list[Tensor]:
    with open(path, "rb") as file:
        metadata, count = _read_head(file)
        heads = []
        for _ in range(count):
            name = _read_string(file)
            shape = tuple(_unpack(file, "<Q") for _ in range(_unpack(file, "<I")))
            heads.append((name, shape, *struct.unpack("<IQ", file.read(12))))
        alignment = metadata.get("general.alignment", ALIGNMENT)
        begin = (file.tell() + alignment - 1) // alignment * alignment
        ends = sorted(head[3] for head in heads) + [path.stat().st_size - begin]
        tensors = []
        for name, shape, kind, offset in heads:
            file.seek(begin + offset)
            size = ends[bisect.bisect_right(ends, offset)] - offset
            data = file.read(math.prod(shape) * BYTES[kind] if kind in BYTES else size)
            tensors.append(Tensor(name, shape, kind, data))
        return tensors


def _read_head(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The metadata and the number of tensors, whose heads come next."""
    if file.read(4) != MAGIC:
        raise ValueError(f"{file.name} is no GGUF file")
    _version, tensors, pairs = struct.unpack("<IQQ", file.read(20))
    return {_read_string(file): _read_value(file, _unpack(file, "<I"))
            for _ in range(pairs)}, tensors


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
    if isinstance(value, Number):
        return struct.pack("<I", value.kind) + struct.pack(SCALARS[value.kind], value.value)
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


def write_parts(path: Path, metadata: dict[str, Any], tensors: list[Tensor],
                count: int) -> list[Path]:
    """The same model in `count` files, as llama.cpp's gguf-split cuts one: the first has the
    metadata, each knows its number."""
    paths = []
    for number in range(count):
        own = tensors[len(tensors) * number // count:len(tensors) * (number + 1) // count]
        paths.append(path.with_name(f"{path.stem}-{number + 1:05}-of-{count:05}.gguf"))
        write(paths[-1], (metadata if number == 0 else {}) | {
            "split.no": Number(U16, number), "split.count": Number(U16, count),
            "split.tensors.count": Number(INT32, len(tensors))}, own)
    return paths


def _padded(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
