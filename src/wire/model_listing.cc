#include "wire/model_listing.h"

#include "wire/answer_json.h"

namespace deepmoat::wire {

namespace {

Json listing_json(const ModelListing& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created_s},
          {"owned_by", "deepmoat"}};
}

}  // namespace

std::string models_body(const std::vector<ModelListing>& models) {
  Json list = Json::array();
  for (const ModelListing& model : models) {
    list.push_back(listing_json(model));
  }
  return dump({{"object", "list"}, {"data", list}});
}

std::string model_body(const ModelListing& model) {
  return dump(listing_json(model));
}

}  // namespace deepmoat::wire
