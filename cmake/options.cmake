# What every target of ours is compiled with.
option(DEEPMOAT_TESTS "Build the unit tests" ON)
option(DEEPMOAT_FUZZ "Build the fuzz targets with libFuzzer (clang only)" OFF)
set(DEEPMOAT_SANITIZE "" CACHE STRING "Sanitizers of our own code: empty, 'address,undefined' or 'thread'")

# Assertions stay on in every build: no -DNDEBUG. Line tables are enough for a backtrace, and keep
# the build small and quick.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror=switch -Werror=return-type
                    -Wno-missing-field-initializers  # {.name = ...}: what is not named has its default
                    -fno-omit-frame-pointer
                    # No path of the building machine in what we ship.
                    -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)

if(DEEPMOAT_SANITIZE)
  add_compile_options(-fsanitize=${DEEPMOAT_SANITIZE})
  add_link_options(-fsanitize=${DEEPMOAT_SANITIZE})
  if(DEEPMOAT_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
else()
  add_compile_options(-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    add_compile_options(-fcf-protection)
  endif()
  add_link_options(LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
endif()
if(DEEPMOAT_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "DEEPMOAT_FUZZ needs clang: use the preset 'fuzz'")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_link_options(-fuse-ld=lld)
endif()

# ccache, such that another clone of this repository in another folder hits it too.
find_program(DEEPMOAT_CCACHE ccache)
if(DEEPMOAT_CCACHE)
  foreach(language C CXX)
    if(NOT CMAKE_${language}_COMPILER_LAUNCHER OR CMAKE_${language}_COMPILER_LAUNCHER STREQUAL "ccache")
      set(CMAKE_${language}_COMPILER_LAUNCHER
          env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${DEEPMOAT_CCACHE})
    endif()
  endforeach()
endif()

# UBSan's vptr check probes memory with system calls that the worker's sandbox denies, and then
# reports every object. Called for what runs inside the sandbox.
function(deepmoat_runs_in_sandbox target)
  if(DEEPMOAT_SANITIZE MATCHES "undefined")
    target_compile_options(${target} PRIVATE -fno-sanitize=vptr)
  endif()
endfunction()
