// deepmoat-worker: the process that runs one model. Started by the gateway with a socket.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "worker/options.h"
#include "worker/probe.h"
#include "worker/startup.h"

int main(int argc, char** argv) {
  using namespace deepmoat::worker;
  try {
    const Parsed parsed = parse_options(argc, argv);
    if (parsed.early) {
      fmt::print(parsed.early->status == kExitDone ? stdout : stderr, "{}", parsed.early->text);
      return parsed.early->status;
    }
    if (parsed.options.probe) {
      return probe(parsed.options);
    }
    settle_environment(argv);
    return serve(parsed.options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "deepmoat-worker: {}\n", error.what());
    return kExitFailed;
  }
}
