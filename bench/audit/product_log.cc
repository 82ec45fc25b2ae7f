#include "product_log.h"

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"

namespace deepmoat::audit {

namespace {

constexpr const char* kOrigin = "deepmoat/bench";

Result<transparency::NoteSigner> bench_signer(bool sm) {
  const Secret seed(std::string(32, 'b'));
  TRY(crypto::SigningKey key, crypto::SigningKey::from_seed(seed));
  std::optional<crypto::Sm2Key> sm2;
  if (sm) {
    TRY(sm2, crypto::Sm2Key::from_seed(seed));
  }
  return transparency::NoteSigner::make(kOrigin, std::move(key), std::move(sm2));
}

}  // namespace

Result<std::unique_ptr<ProductLog>> ProductLog::open(const ProductLogOptions& options,
                                                     const Clock& clock) {
  const std::filesystem::path place = options.folder / "place";
  const std::filesystem::path directory = options.folder / "log";
  CHECK_OK(make_directory(options.folder, 0700));
  CHECK_OK(make_directory(place, 0700));
  CHECK_OK(make_directory(directory, 0700));
  TRY(transparency::NoteSigner signer, bench_signer(options.sm));
  std::unique_ptr<ProductLog> made(new ProductLog(std::move(signer)));
  std::vector<std::unique_ptr<CheckpointPlace>> places;
  places.push_back(directory_place(place.string(), kOrigin));
  TRY(auto known, known_checkpoints(directory, places, made->signer_));
  TRY(made->log_,
      Log::open(
          {.directory = directory, .sm3_tree = options.sm, .known_checkpoints = std::move(known)},
          clock));
  made->checkpointer_ =
      std::make_unique<Checkpointer>(*made->log_, made->signer_, std::move(places), clock);
  return made;
}

}  // namespace deepmoat::audit
