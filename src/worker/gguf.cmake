# The check of model files, apart from the worker: fuzzing it needs no engine.
add_library(deepmoat_gguf STATIC gguf_file.cc gguf_check.cc gguf_model.cc)
target_include_directories(deepmoat_gguf PUBLIC ${CMAKE_SOURCE_DIR}/src)
target_link_libraries(deepmoat_gguf PUBLIC deepmoat_base PRIVATE nlohmann_json::nlohmann_json)
deepmoat_runs_in_sandbox(deepmoat_gguf)
if(DEEPMOAT_TESTS)
  add_executable(gguf_check_test gguf_check_test.cc sandbox.cc)
  target_link_libraries(gguf_check_test PRIVATE deepmoat_gguf PkgConfig::seccomp
                        nlohmann_json::nlohmann_json GTest::gtest_main ${RAPIDCHECK})
  add_test(NAME gguf_check COMMAND gguf_check_test)
endif()
