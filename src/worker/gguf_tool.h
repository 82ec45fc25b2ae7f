// What the importer has the worker do with a model file, because only the worker may touch one:
//   deepmoat-worker --inspect FILE                    (also says the memory that it would take)
//   deepmoat-worker --quantize SOURCE TARGET TYPE     (TYPE "copy": one file, weights as they are)
//   deepmoat-worker --measure FILE --text FILE
// Each checks the file, inside the sandbox. Standard output: lines {"progress":0.5}, and last the
// answer, {"facts":...}, {"speed":...} or {"error":"..."}, all as JSON.
#pragma once

#include <optional>

namespace deepmoat::worker {

// The exit status, when the command line is one of these; empty: it is another's.
[[nodiscard]] std::optional<int> run_gguf_tool(int argc, char** argv);

}  // namespace deepmoat::worker
