// Every bound of the product, in one place, with its unit in its name.
#pragma once

#include <cstddef>
#include <cstdint>

namespace deepmoat::limits {

inline constexpr std::size_t kHeaderBytesMax = 16 * 1024;  // all request headers together
inline constexpr std::size_t kBodyBytesMaxDefault = 8 * 1024 * 1024;
inline constexpr std::size_t kJsonDepthMax = 64;
inline constexpr std::size_t kMessagesMax = 2048;    // messages of one chat
inline constexpr std::size_t kStopSequencesMax = 4;  // OpenAI's limit
inline constexpr std::size_t kStopSequenceBytesMax = 256;
inline constexpr std::size_t kChoicesMax = 4;   // `n`
inline constexpr std::size_t kPromptsMax = 32;  // of one completion
inline constexpr std::size_t kLogitBiasMax = 300;
inline constexpr std::size_t kTopLogprobsMax = 5;
inline constexpr std::size_t kToolsMax = 128;  // OpenAI's limit
inline constexpr std::size_t kToolNameBytesMax = 128;
inline constexpr std::size_t kToolCallsMax = 128;           // of one assistant message
inline constexpr std::size_t kSchemaBytesMax = 256 * 1024;  // of all tools, or of the answer
inline constexpr std::size_t kGrammarBytesMax = 64 * 1024;
inline constexpr std::size_t kPromptTokensMax = 2'000'000;  // of a prompt that comes as token ids
inline constexpr std::size_t kEmbedInputsMax = 2'048;       // OpenAI's limit
inline constexpr std::size_t kRerankDocumentsMax = 2'048;
inline constexpr std::size_t kFrameBytesMax =
    64 * 1024 * 1024;  // one frame between gateway and worker
inline constexpr std::size_t kRequestIdBytesMax = 128;
inline constexpr std::size_t kAuditRecordBytesMax = 4 * 1024;
inline constexpr std::size_t kConfigBytesMax = 1024 * 1024;
inline constexpr std::uint32_t kRunningCallsMax = 64;        // sequences at once in a worker
inline constexpr std::uint32_t kQueuedCallsMax = 256;        // waiting in a worker
inline constexpr std::size_t kStreamEventsQueuedMax = 4096;  // events waiting for a slow reader

}  // namespace deepmoat::limits
