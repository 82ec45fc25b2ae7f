// The demo model for tests of this folder (DEEPMOAT_MODEL names the file; ./test sets it), loaded
// once, with the plainest CPU variant, which runs everywhere.
#pragma once

#include <gtest/gtest.h>

#include "engine/model.h"

namespace deepmoat::engine {

Model* shared_model();  // model_test.cc

class RealModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(shared_model(), nullptr) << "run ./test, or set DEEPMOAT_MODEL to a GGUF file";
  }
  Model& model_ = *shared_model();
};

}  // namespace deepmoat::engine
