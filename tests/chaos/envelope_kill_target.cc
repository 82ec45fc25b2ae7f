// The program that envelope_kill.py kills: `begin FOLDER` makes a key file, an envelope and fields
// of three tenants; `roll FOLDER` makes the next generation, without the tenant "gone"; `check
// FOLDER` opens what is there and prints its generation, or says what is not whole.
#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/hex.h"
#include "crypto/envelope.h"
#include "crypto/envelope_keystore.h"
#include "crypto/file_custody.h"

namespace {

using deepmoat::read_file;
using deepmoat::Result;
using deepmoat::Secret;
using deepmoat::SystemClock;
using deepmoat::crypto::Envelope;
using deepmoat::crypto::FieldPlace;
using deepmoat::crypto::FileCustody;

constexpr std::size_t kFieldBytesMax = 4096;

void print_line(const std::string& line) {
  const std::string text = line + "\n";
  (void)::write(STDOUT_FILENO, text.data(), text.size());
}

std::filesystem::path field_of(const std::filesystem::path& folder, const std::string& tenant) {
  return folder / (tenant + ".field");
}

Result<> begin(const std::filesystem::path& folder, Envelope& envelope) {
  for (const std::string tenant : {"first", "second", "gone"}) {
    TRY(const std::string field, envelope.seal({.tenant = tenant}, "of " + tenant));
    CHECK_OK(deepmoat::write_file_atomic(field_of(folder, tenant), field, 0600));
  }
  return {};
}

Result<> roll(const std::filesystem::path&, Envelope& envelope) {
  const std::vector<std::string> dropped{"gone"};
  TRY(const auto report, envelope.roll(dropped));
  print_line(fmt::format("{}", report.new_generation));
  return report.old_destroyed
             ? Result<>()
             : deepmoat::fail(deepmoat::Code::io, "the old generation is not destroyed");
}

// One generation, its root and its keystore alone; kept tenants open, the dropped one only before.
Result<> check(const std::filesystem::path& folder, Envelope& envelope, FileCustody& custody) {
  const std::uint64_t generation = envelope.status().generation;
  print_line(fmt::format("{}", generation));
  const std::vector<std::uint64_t> alone{generation};
  TRY(const auto roots, custody.generations());
  TRY(const auto keystores, deepmoat::crypto::keystore_generations(folder / "keys"));
  if (roots != alone || keystores != alone) {
    return deepmoat::fail(deepmoat::Code::corrupt,
                          fmt::format("generation {}: {} roots, {} keystores", generation,
                                      roots.size(), keystores.size()));
  }
  for (const std::string tenant : {"first", "second", "gone"}) {
    TRY(const std::string field, read_file(field_of(folder, tenant), kFieldBytesMax));
    const auto plain = envelope.open({.tenant = tenant}, field);
    const bool expected = tenant != "gone" || generation == 1;
    const bool right = plain && plain->reveal() == "of " + tenant;
    if (right != expected) {
      return deepmoat::fail(deepmoat::Code::corrupt,
                            fmt::format("generation {}: the field of {} {}", generation, tenant,
                                        right ? "still opens" : "does not open"));
    }
  }
  return {};
}

Result<> run(std::string_view command, const std::filesystem::path& folder) {
  const SystemClock clock;
  TRY(const auto custody, FileCustody::open(folder / "keys" / "root.key", Secret(), true));
  TRY(const auto envelope, Envelope::open({.folder = folder / "keys"}, *custody, clock));
  if (command == "begin") {
    return begin(folder, *envelope);
  }
  return command == "roll" ? roll(folder, *envelope) : check(folder, *envelope, *custody);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    print_line("use: envelope_kill_target begin|roll|check FOLDER");
    return 64;
  }
  const Result<> done = run(argv[1], argv[2]);
  if (!done) {
    print_line(done.error().message);
  }
  return done ? 0 : 1;
}
