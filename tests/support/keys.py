"""The shown form of a key, made here as docs/formats/keys.md says."""

import zlib

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def well_formed_key(kind: str, hex_digits: str) -> str:
    """`hex_digits` with prefix and the right checksum: a key that nobody was given."""
    shown = f"dmk_{kind}_{hex_digits}"
    value, digits = zlib.crc32(shown.encode()), ""
    for _ in range(6):
        value, rest = divmod(value, 62)
        digits = BASE62[rest] + digits
    return shown + digits
