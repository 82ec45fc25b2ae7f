// The key that signs checkpoints and exports: derived from the root keys, so that whoever restores
// those has it too.
#pragma once

#include "base/config.h"
#include "base/result.h"
#include "cli/data_folder.h"
#include "crypto/key_file.h"
#include "transparency/note.h"

namespace deepmoat::cli {

// Secrets are about to be in memory: no core file, no debugger of the same user.
void forbid_dumps();

[[nodiscard]] Result<transparency::NoteSigner> checkpoint_signer(const crypto::RootSecrets& secrets,
                                                                 const Config& config);

// From the folder's root keys, also beside a server that runs on it: who may read those is who may
// sign.
[[nodiscard]] Result<transparency::NoteSigner> stored_checkpoint_signer(const DataFolder& folder,
                                                                        const Config& config);

}  // namespace deepmoat::cli
