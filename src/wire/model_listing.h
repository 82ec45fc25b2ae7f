// GET /v1/models in the shape of the OpenAI API.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace deepmoat::wire {

struct ModelListing {
  std::string id;
  std::int64_t created_s = 0;
};
[[nodiscard]] std::string models_body(const std::vector<ModelListing>& models);
[[nodiscard]] std::string model_body(const ModelListing& model);

}  // namespace deepmoat::wire
