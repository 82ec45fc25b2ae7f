"""Starts llama.cpp's converter with the PyTorch of Debian 12, and keeps it from running code that
came with a model.

`convert_start.py CONVERTER FOLDER ARGUMENTS...` is run by tools/convert.py in an environment that
has PyTorch and Transformers.

Debian's PyTorch 1.13 lacks the types of 8-bit floats that the converter names while it is read.
They get placeholders here; a model that is stored in them is refused before anything is written.
"""

import json
import runpy
import struct
import sys
from pathlib import Path

# PyTorch's name, and the storages of a safetensors file that need it.
NEWER_TYPES = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0"}
HEADER_BYTES_MAX = 100_000_000  # as the safetensors library has it


class Placeholder:
    """Stands for a type that this PyTorch does not have; nothing can be made with it."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


def storages(file: Path) -> set[str]:
    """The types in which a safetensors file keeps its tensors."""
    with open(file, "rb") as handle:
        size = handle.read(8)
        length = struct.unpack("<Q", size)[0] if len(size) == 8 else HEADER_BYTES_MAX + 1
        if length > HEADER_BYTES_MAX:
            raise SystemExit(f"{file.name} is no safetensors file")
        try:
            header = json.loads(handle.read(length))
            return {about["dtype"] for name, about in header.items() if name != "__metadata__"}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SystemExit(f"{file.name} has no header of a safetensors file") from error


def stand_in_for_newer_types(folder: Path) -> None:
    import torch  # pylint: disable=import-outside-toplevel
    missing = {name: storage for name, storage in NEWER_TYPES.items() if not hasattr(torch, name)}
    for file in sorted(folder.glob("*.safetensors")):
        for storage in sorted(storages(file) & set(missing.values())):
            raise SystemExit(
                f"{file.name} keeps weights as {storage}, which PyTorch {torch.__version__} cannot "
                "read. Take a BF16 release of the model, or set DEEPMOAT_CONVERT_PYTHON to a "
                "Python with PyTorch 2.6 or later and Transformers.")
    for name in missing:
        setattr(torch, name, Placeholder(name))


def refuse_code_of_models() -> None:
    """Some models bring Python of their own, and parts of the converter would run it."""
    from transformers import dynamic_module_utils  # pylint: disable=import-outside-toplevel

    def resolve(_trust, name, has_local_code, has_remote_code, *_more, **_named):
        if has_remote_code and not has_local_code:
            raise ValueError(f"{name} can only be read with Python code that came with it, "
                             "and such code is not run")
        return False

    def get_class(*_arguments, **_named):
        raise ValueError("Python code that came with a model is not run")

    # Before any other part of Transformers is there: each takes these by their names.
    dynamic_module_utils.resolve_trust_remote_code = resolve
    dynamic_module_utils.get_class_from_dynamic_module = get_class


def main() -> None:
    converter, folder = Path(sys.argv[1]), Path(sys.argv[2])
    stand_in_for_newer_types(folder)
    refuse_code_of_models()
    sys.argv = [str(converter), *sys.argv[2:]]
    sys.path.insert(0, str(converter.parent))
    runpy.run_path(str(converter), run_name="__main__")


if __name__ == "__main__":
    main()
