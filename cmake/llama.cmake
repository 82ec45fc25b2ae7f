# The engine's library. tools/llama.py fetches the pinned source by package name, version and
# SHA-256, builds it once into a cache folder keyed by version, flags and patches, and prints where it lies.
set(DEEPMOAT_LLAMA_SOURCE "$ENV{DEEPMOAT_LLAMA_SOURCE}" CACHE STRING
    "Folder with llama.cpp's source, for sites without a network; empty: fetch the pinned package")
