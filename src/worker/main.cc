// deepmoat-worker: the process that runs one model. Started by the gateway with a socket.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "worker/gguf_tool.h"
#include "worker/options.h"
#include "worker/probe.h"
#include "worker/startup.h"

int main(int argc, char** argv) {
  namespace worker = deepmoat::worker;
  try {
    if (const auto status = worker::run_gguf_tool(argc, argv)) {
      return *status;
    }
    const worker::Parsed parsed = worker::parse_options(argc, argv);
    if (parsed.early) {
      fmt::print(parsed.early->status == worker::kExitDone ? stdout : stderr, "{}",
                 parsed.early->text);
      return parsed.early->status;
    }
    if (parsed.options.probe) {
      return worker::probe(parsed.options);
    }
    if (!parsed.options.settled) {
      worker::settle_environment(argc, argv);
    }
    return worker::serve(parsed.options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "deepmoat-worker: {}\n", error.what());
    return worker::kExitFailed;
  }
}
