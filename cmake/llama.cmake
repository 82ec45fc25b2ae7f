# The engine's library, llama.cpp. tools/llama.py finds it in the cache folder or fetches and builds
# it there once, and prints where it lies. Only src/engine links the target of this file.
set(DEEPMOAT_LLAMA_SOURCE "$ENV{DEEPMOAT_LLAMA_SOURCE}" CACHE STRING
    "llama.cpp's source (folder, or the pinned source package), for sites without a network")
set(DEEPMOAT_LLAMA_VARIANTS "local" CACHE STRING
    "CPU variants of the engine: local (for this machine) or all (for packages)")

find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/llama.py
          "--source=${DEEPMOAT_LLAMA_SOURCE}" --cpu-variants ${DEEPMOAT_LLAMA_VARIANTS}
  OUTPUT_VARIABLE llama_json
  RESULT_VARIABLE llama_status)
if(NOT llama_status EQUAL 0)
  message(FATAL_ERROR "tools/llama.py could not provide llama.cpp; what it said stands above")
endif()
string(JSON llama_tree GET "${llama_json}" source)
string(JSON llama_libraries GET "${llama_json}" lib_dir)

# Where libllama.so and the CPU variants lie; the worker loads the variants from this folder.
set(DEEPMOAT_LLAMA_LIB_DIR ${llama_libraries} CACHE INTERNAL "Folder of llama.cpp's libraries")
# Chat templates of many models, for tests.
set(DEEPMOAT_LLAMA_TEMPLATES ${llama_tree}/models/templates CACHE INTERNAL "llama.cpp's templates")

add_library(deepmoat_llama INTERFACE)
target_include_directories(deepmoat_llama SYSTEM INTERFACE
  ${llama_tree}/include ${llama_tree}/ggml/include ${llama_tree}/common ${llama_tree}/vendor)
target_link_libraries(deepmoat_llama INTERFACE
  ${llama_libraries}/libllama-common.so ${llama_libraries}/libllama.so
  ${llama_libraries}/libggml.so ${llama_libraries}/libggml-base.so)
target_link_options(deepmoat_llama INTERFACE -Wl,-rpath,${llama_libraries})
target_compile_definitions(deepmoat_llama INTERFACE
  DEEPMOAT_LLAMA_LIB_DIR="${llama_libraries}")
