// The check of model files: what is right passes, and each crafted file is refused by name.
#include "worker/gguf_check.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/scratch_folder.h"
#include "worker/gguf_builder.h"
#include "worker/sandbox.h"

namespace deepmoat::worker {
namespace {

using Change = std::function<void(GgufBuilder&)>;

Result<GgufFacts> check(const std::string& bytes) {
  TRY(const GgufFile file, read_gguf(bytes));
  return check_gguf(file);
}

std::string made_with(const Change& change) {
  GgufBuilder builder;
  change(builder);
  return builder.bytes();
}

TEST(GgufCheck, SaysWhatASmallModelIs) {
  const std::string bytes = GgufBuilder().bytes();
  const auto facts = check(bytes);
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->kind, "model");
  EXPECT_EQ(facts->architecture, "llama");
  EXPECT_EQ(facts->task, "generate");
  EXPECT_EQ(facts->parameters, 32U + 64U + 8U);
  EXPECT_EQ(facts->tensors, 3U);
  EXPECT_EQ(facts->context_tokens, 128U);
  EXPECT_EQ(facts->width, 8U);
  EXPECT_EQ(facts->layers, 1U);
  EXPECT_EQ(facts->vocabulary, 4U);
  EXPECT_EQ(facts->tokenizer, "gpt2");
  EXPECT_FALSE(facts->chat_template);
  EXPECT_EQ(facts->mix.at("F16"), 64);
}

TEST(GgufCheck, SaysWhatATokenKeepsInMemory) {
  const auto cell_bytes = [](const Change& change) {
    const auto facts = check(made_with(change));
    EXPECT_TRUE(facts) << (facts ? "" : facts.error().message);
    return facts ? facts->cell_bytes : 0;
  };
  const auto grouped = [](GgufBuilder& b) {  // a width of 8: heads of 2
    b.set(key_u32("llama.attention.head_count", 4));
    b.set(key_u32("llama.attention.head_count_kv", 2));
  };
  EXPECT_EQ(cell_bytes(grouped), 2U * 2U * (2U + 2U));
  EXPECT_EQ(cell_bytes([&](GgufBuilder& b) {
              grouped(b);
              b.set(key_u32("llama.attention.key_length", 64));
              b.set(key_u32("llama.attention.value_length", 32));
            }),
            2U * 2U * (64U + 32U));
  EXPECT_EQ(cell_bytes([](GgufBuilder& b) {  // DeepSeek: one row for all heads, values within
              b.set(key_u32("llama.attention.head_count", 4));
              b.set(key_u32("llama.attention.head_count_kv", 1));
              b.set(key_u32("llama.attention.key_length", 576));
              b.set(key_u32("llama.attention.value_length", 512));
              b.set(key_u32("llama.attention.key_length_mla", 192));
            }),
            2U * 576U);
  EXPECT_EQ(cell_bytes([](GgufBuilder& b) {
              b.drop("llama.attention.head_count");
              b.drop("llama.attention.head_count_kv");
            }),
            0U);
}

TEST(GgufCheck, AcceptsWhatModelsDo) {
  const std::vector<Change> changes{
      [](GgufBuilder& b) { b.version = 2; },
      [](GgufBuilder& b) { b.set(key_u32("general.alignment", b.alignment = 64)); },
      [](GgufBuilder& b) { b.set(key_text("tokenizer.chat_template", "{{ messages }}")); },
      [](GgufBuilder& b) { b.drop("llama.attention.head_count_kv"); },
      [](GgufBuilder& b) {  // no heads: recurrent
        b.drop("llama.attention.head_count");
        b.drop("llama.attention.head_count_kv");
      },
      [](GgufBuilder& b) {  // a number for each layer
        b.set(key_array("llama.attention.head_count", GgufType::i32, 1, raw<std::int32_t>(2)));
      },
      [](GgufBuilder& b) {  // DeepSeek's experts
        b.set(key_u32("llama.expert_count", 256));
        b.set(key_u32("llama.expert_used_count", 8));
        b.set(key_u32("llama.expert_group_count", 8));
        b.set(key_u32("llama.expert_group_used_count", 4));
      },
      [](GgufBuilder& b) { b.set(key_text("llama.rope.scaling.type", "yarn")); },
      [](GgufBuilder& b) {  // a last tensor without its padding
        b.tensors.push_back({"output.weight", {8, 4}, 8, 0});
        b.tensors.back() = {"blk.0.x.weight", {32, 1}, 8, 34};
      },
      [](GgufBuilder& b) {  // unused ids that no token has are common in published files
        b.set(key_u32("tokenizer.ggml.padding_token_id", 0xFFFFFFFF));
      },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const auto facts = check(made_with(changes[i]));
    EXPECT_TRUE(facts) << i << ": " << (facts ? "" : facts.error().message);
  }
}

struct Crafted {
  const char* what;
  Change change;
  const char* message;  // a part of the refusal
};

void expect_refused(const std::vector<Crafted>& files) {
  for (const Crafted& file : files) {
    const auto facts = check(made_with(file.change));
    ASSERT_FALSE(facts) << file.what;
    EXPECT_EQ(facts.error().code, Code::invalid_argument) << file.what;
    EXPECT_NE(facts.error().message.find(file.message), std::string::npos)
        << file.what << ": " << facts.error().message;
  }
}

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

TEST(GgufCheck, RefusesCraftedHeads) {
  expect_refused({
      {"another magic", [](GgufBuilder& b) { b.magic = "GGML"; }, "\"GGUF\""},
      {"version 1", [](GgufBuilder& b) { b.version = 1; }, "version 1"},
      {"version 4", [](GgufBuilder& b) { b.version = 4; }, "version 4"},
      {"another byte order", [](GgufBuilder& b) { b.version = 0x03000000; }, "version 50331648"},
      {"keys without end (CVE-2024-23496's shape)",
       [](GgufBuilder& b) { b.key_count_more = std::numeric_limits<std::int64_t>::max(); },
       "keys of metadata"},
      {"tensors without end",
       [](GgufBuilder& b) { b.tensor_count_more = std::numeric_limits<std::int64_t>::max(); },
       "tensors are more"},
      {"more keys than there are", [](GgufBuilder& b) { b.key_count_more = 40; }, "key "},
      {"fewer keys than there are", [](GgufBuilder& b) { b.key_count_more = -1; }, "tensor"},
      {"more tensors than there are", [](GgufBuilder& b) { b.tensor_count_more = 1; }, "tensor"},
      {"fewer tensors than there are", [](GgufBuilder& b) { b.tensor_count_more = -1; }, "follow"},
      {"alignment 0", [](GgufBuilder& b) { b.set(key_u32("general.alignment", 0)); },
       "\"general.alignment\" is 0"},
      {"alignment 48", [](GgufBuilder& b) { b.set(key_u32("general.alignment", 48)); },
       "power of two"},
      {"alignment 2^31", [](GgufBuilder& b) { b.set(key_u32("general.alignment", 1U << 31U)); },
       "power of two"},
      {"alignment as text", [](GgufBuilder& b) { b.set(key_text("general.alignment", "32")); },
       "must be a u32"},
  });
}

TEST(GgufCheck, RefusesCraftedKeys) {
  expect_refused({
      {"a key twice", [](GgufBuilder& b) { b.keys.push_back(key_u32("llama.block_count", 1)); },
       "\"llama.block_count\" is there twice"},
      {"an empty key", [](GgufBuilder& b) { b.keys.push_back(key_u32("", 1)); }, "1 to 255"},
      {"a key with a line end", [](GgufBuilder& b) { b.keys.push_back(key_u32("a\nb", 1)); },
       "printable"},
      {"a key of 300 bytes",
       [](GgufBuilder& b) { b.keys.push_back(key_u32(std::string(300, 'k'), 1)); }, "1 to 255"},
      {"an unknown type", [](GgufBuilder& b) { b.set({"x", raw<std::uint32_t>(13)}); },
       "unknown type 13"},
      {"a text of 2^64-1 bytes",
       [](GgufBuilder& b) { b.set({"x", raw_type(GgufType::string) + raw(kHuge)}); },
       "longer than the file"},
      {"a text of 2^63 bytes",
       [](GgufBuilder& b) { b.set({"x", raw_type(GgufType::string) + raw(1ULL << 63U)}); },
       "longer than the file"},
      {"an array of 2^62 numbers: its bytes overflow",
       [](GgufBuilder& b) { b.set(key_array("x", GgufType::u32, 1ULL << 62U, "")); }, "elements"},
      {"an array of 2^26 texts",
       [](GgufBuilder& b) { b.set(key_array("x", GgufType::string, 1ULL << 26U, "")); }, "text"},
      {"an array in an array",
       [](GgufBuilder& b) { b.set(key_array("x", GgufType::array, 1, "")); }, "arrays of arrays"},
      {"an array of unknown elements",
       [](GgufBuilder& b) {
         b.set({"x", raw_type(GgufType::array) + raw<std::uint32_t>(99) + raw<std::uint64_t>(0)});
       },
       "element type 99"},
      {"not a number",
       [](GgufBuilder& b) {
         b.set(key_f32("llama.rope.freq_base", std::numeric_limits<float>::quiet_NaN()));
       },
       "\"llama.rope.freq_base\""},
      {"a negative epsilon",
       [](GgufBuilder& b) { b.set(key_f32("llama.attention.layer_norm_rms_epsilon", -1)); },
       "epsilon"},
      {"no architecture", [](GgufBuilder& b) { b.drop("general.architecture"); },
       "\"general.architecture\""},
      {"an architecture that formats",
       [](GgufBuilder& b) { b.set(key_text("general.architecture", "%s%s%n")); }, "names none"},
      {"a kind that nobody knows",
       [](GgufBuilder& b) { b.set(key_text("general.type", "imatrix")); }, "imatrix"},
  });
}

TEST(GgufCheck, RefusesCraftedTensors) {
  const auto with = [](TensorBytes tensor) {
    return [tensor](GgufBuilder& b) { b.tensors.back() = tensor; };
  };
  expect_refused({
      {"five dimensions", with({"x", {1, 1, 1, 1, 1}, 0, 4}), "5 dimensions"},
      {"2^32-1 dimensions",
       [](GgufBuilder& b) { b.tensors.back().dimension_count_more = 0xFFFFFFFE; }, "dimensions"},
      {"no elements", with({"x", {8, 0}, 0, 0}), "not possible"},
      {"a product over 2^63", with({"x", {1ULL << 32U, 1ULL << 32U}, 0, 32}), "not possible"},
      {"a product that wraps to 32 (CVE-2025-49847's shape)",
       with({"x", {32, 1ULL << 59U, 2, 1}, 0, 128}), "not possible"},
      {"a negative length", with({"x", {kHuge, 1}, 0, 32}), "not possible"},
      {"bytes that overflow", with({"x", {1ULL << 62U}, 0, 32}), "larger than any file"},
      {"an unknown storage", with({"x", {32}, 43, 32}), "storage type 43"},
      {"a storage that was removed", with({"x", {32}, 4, 32}), "storage type 4"},
      {"a storage of products", with({"x", {256}, 15, 292}), "storage type 15"},
      {"half a block", with({"x", {16, 2}, 2, 32}), "whole blocks of 32"},
      {"a name of 64 bytes", with({std::string(64, 'n'), {8}, 0, 32}), "1 to 63"},
      {"a name twice", with({"token_embd.weight", {8, 4}, 0, 128}), "is there twice"},
      {"an offset into another tensor", with({"x", {8}, 0, 32, 128}), "overlap"},
      {"an offset behind a gap", with({"x", {8}, 0, 32, 512}), "gaps"},
      {"an offset of 2^64-32", with({"x", {8}, 0, 32, kHuge - 31}), "lies at"},
      {"an odd offset", with({"x", {8}, 0, 32, 257}), "lies at 257"},
      {"more data than the file has", with({"x", {4096}, 0, 32}), "copied completely"},
      {"less data than the file has", with({"x", {8}, 0, 64}), "follow the last tensor"},
      {"bytes after the end", [](GgufBuilder& b) { b.after = "payload"; }, "follow the last"},
  });
}

TEST(GgufCheck, RefusesLayersThatDoNotFitTheTables) {
  const auto u32 = [](const char* key, std::uint32_t value) {
    return [=](GgufBuilder& b) { b.set(key_u32(key, value)); };
  };
  expect_refused({
      {"513 layers (llama.cpp #25821)", u32("llama.block_count", 513), "513"},
      {"no layers", u32("llama.block_count", 0), "\"llama.block_count\" is 0"},
      {"layers as text", [](GgufBuilder& b) { b.set(key_text("llama.block_count", "1")); },
       "must be a u32"},
      {"no word about layers", [](GgufBuilder& b) { b.drop("llama.block_count"); }, "missing"},
      {"a tensor of layer 1 of 1",
       [](GgufBuilder& b) { b.tensors[1].name = "blk.1.attn_q.weight"; }, "no layer"},
      {"a tensor of layer 2^64",
       [](GgufBuilder& b) { b.tensors[1].name = "blk.18446744073709551616.x"; }, "no layer"},
      {"a tensor of layer -1", [](GgufBuilder& b) { b.tensors[1].name = "blk.-1.x"; }, "no layer"},
      {"more predicted layers than layers", u32("llama.nextn_predict_layers", 2), "nextn"},
      {"width 0", u32("llama.embedding_length", 0), "embedding_length"},
      {"width 2^31", u32("llama.embedding_length", 1U << 31U), "embedding_length"},
      {"context 0", u32("llama.context_length", 0), "context_length"},
      {"a rope that is asserted",
       [](GgufBuilder& b) { b.set(key_text("llama.rope.scaling.type", "spiral")); },
       "rope.scaling.type"},
  });
}

TEST(GgufCheck, RefusesHeadsAndExpertsThatAreAsserted) {
  const auto u32 = [](const char* key, std::uint32_t value) {
    return [=](GgufBuilder& b) { b.set(key_u32(key, value)); };
  };
  const auto experts = [](std::uint32_t count, std::uint32_t used, std::uint32_t groups,
                          std::uint32_t groups_used) {
    return [=](GgufBuilder& b) {
      b.set(key_u32("llama.expert_count", count));
      b.set(key_u32("llama.expert_used_count", used));
      b.set(key_u32("llama.expert_group_count", groups));
      b.set(key_u32("llama.expert_group_used_count", groups_used));
    };
  };
  expect_refused({
      {"2 heads, 4 for keys", u32("llama.attention.head_count_kv", 4), "no multiple"},
      {"10,000 heads", u32("llama.attention.head_count", 10'000), "head_count"},
      {"9 heads for a width of 8",
       [](GgufBuilder& b) {
         b.set(key_u32("llama.attention.head_count", 9));
         b.set(key_u32("llama.attention.head_count_kv", 9));
       },
       "9 heads for a width of 8"},
      {"heads for 2 of 1 layers",
       [](GgufBuilder& b) {
         b.set(key_array("llama.attention.head_count", GgufType::u32, 2, raw<std::uint64_t>(0)));
       },
       "2 elements for 1 layers"},
      {"heads as texts (llama.cpp #26690's shape)",
       [](GgufBuilder& b) { b.set(key_texts("llama.attention.head_count", {"2"})); },
       "must hold i32"},
      {"negative heads",
       [](GgufBuilder& b) {
         b.set(key_array("llama.attention.head_count", GgufType::i32, 1, raw<std::int32_t>(-2)));
       },
       "head_count"},
      {"1,025 experts", experts(1025, 8, 0, 0), "expert_count"},
      {"more experts used than there are", experts(4, 8, 0, 0), "expert_used_count"},
      {"experts, but none used", experts(4, 0, 0, 0), "expert_used_count"},
      {"as many groups as experts", experts(4, 1, 4, 1), "expert_group_count"},
      {"unequal groups", experts(9, 1, 2, 1), "expert_group_used_count"},
      {"no group used", experts(8, 1, 2, 0), "expert_group_used_count"},
  });
}

TEST(GgufCheck, RefusesVocabulariesThatAreIndexedOutside) {
  expect_refused({
      {"types for 3 of 4 tokens",
       [](GgufBuilder& b) {
         b.set(key_array("tokenizer.ggml.token_type", GgufType::i32, 3, std::string(12, '\1')));
       },
       "3 elements for 4 tokens"},
      {"types as texts",
       [](GgufBuilder& b) { b.set(key_texts("tokenizer.ggml.token_type", {"a", "b", "c", "d"})); },
       "must hold i32"},
      {"types in 8 bits",
       [](GgufBuilder& b) {
         b.set(key_array("tokenizer.ggml.token_type", GgufType::i8, 4, "1111"));
       },
       "must hold i32"},
      {"scores for 2 of 4 tokens",
       [](GgufBuilder& b) {
         b.set(key_array("tokenizer.ggml.scores", GgufType::f32, 2, std::string(8, '\0')));
       },
       "2 elements for 4 tokens"},
      {"tokens as numbers",
       [](GgufBuilder& b) {
         b.set(key_array("tokenizer.ggml.tokens", GgufType::u32, 4, std::string(16, '\0')));
       },
       "must hold string"},
      {"tokens as one text",
       [](GgufBuilder& b) { b.set(key_text("tokenizer.ggml.tokens", "abcd")); }, "must be a array"},
      {"no token", [](GgufBuilder& b) { b.set(key_texts("tokenizer.ggml.tokens", {})); },
       "0 elements"},
      {"a token twice (an assert)",
       [](GgufBuilder& b) { b.set(key_texts("tokenizer.ggml.tokens", {"a", "b", "b", "</s>"})); },
       "token \"b\" is there twice"},
      {"fewer rows than tokens",
       [](GgufBuilder& b) { b.tensors[0] = {"token_embd.weight", {8, 3}, 0, 96}; }, "3 rows of 8"},
      {"rows of another width",
       [](GgufBuilder& b) { b.tensors[0] = {"token_embd.weight", {16, 4}, 0, 256}; },
       "4 rows of 16"},
      {"fewer outputs than tokens",
       [](GgufBuilder& b) { b.tensors.push_back({"output.weight", {8, 3}, 0, 96}); },
       "output.weight"},
      {"a map longer than its array",
       [](GgufBuilder& b) {
         b.set(key_array("tokenizer.ggml.precompiled_charsmap", GgufType::u8, 8,
                         raw<std::uint32_t>(4096) + std::string(4, '\0')));
       },
       "precompiled_charsmap"},
      {"a map without an end",
       [](GgufBuilder& b) {
         b.set(key_array("tokenizer.ggml.precompiled_charsmap", GgufType::u8, 12,
                         raw<std::uint32_t>(4) + "abcdefgh"));
       },
       "precompiled_charsmap"},
      {"a template of 2 MiB",
       [](GgufBuilder& b) {
         b.set(key_text("tokenizer.chat_template", std::string(2U << 20U, 'x')));
       },
       "chat_template"},
      {"a template that is none",
       [](GgufBuilder& b) { b.set(key_u32("tokenizer.chat_template", 1)); }, "chat_template"},
  });
}

GgufBuilder adapter() {
  GgufBuilder builder;
  builder.keys = {key_text("general.architecture", "llama"), key_text("general.type", "adapter"),
                  key_text("adapter.type", "lora"), key_f32("adapter.lora.alpha", 16),
                  key_text("general.base_model.0.name", "Llama")};
  builder.tensors = {{"blk.0.attn_q.weight.lora_a", {8, 2}, 0, 64},
                     {"blk.0.attn_q.weight.lora_b", {2, 8}, 0, 64}};
  return builder;
}

TEST(GgufCheck, KnowsAdapters) {
  const auto facts = check(adapter().bytes());
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->kind, "adapter");
  EXPECT_EQ(facts->base, "Llama");
  const auto refused = [](const Change& change) {
    GgufBuilder builder = adapter();
    change(builder);
    const auto checked = check(builder.bytes());
    return checked ? "accepted" : checked.error().message;
  };
  EXPECT_NE(refused([](auto& b) { b.set(key_text("adapter.type", "ia3")); }).find("adapter.type"),
            std::string::npos);
  EXPECT_NE(refused([](auto& b) { b.tensors.pop_back(); }).find("other half"), std::string::npos);
  EXPECT_NE(refused([](auto& b) { b.tensors[1].dimensions = {4, 4}; }).find("rank 2"),
            std::string::npos);
  EXPECT_NE(refused([](auto& b) { b.tensors[0].name = "x.weight"; }).find("neither"),
            std::string::npos);
}

TEST(GgufCheck, KnowsTheTask) {
  const auto task = [](const Change& change) { return check(made_with(change))->task; };
  EXPECT_EQ(task([](auto& b) { b.set(key_u32("llama.pooling_type", 1)); }), "embed");
  EXPECT_EQ(task([](auto& b) { b.set(key_u32("llama.pooling_type", 4)); }), "rerank");
  EXPECT_EQ(task([](auto& b) {
              b.set({"llama.attention.causal", raw_type(GgufType::boolean) + std::string(1, '\0')});
            }),
            "embed");
}

// Whatever happens to the bytes, the answer is yes or no.
RC_GTEST_PROP(GgufCheck, SurvivesEveryCutAndChange, ()) {
  const std::string right = GgufBuilder().bytes();
  std::string bytes = right;
  const int changes = *rc::gen::inRange(1, 4);
  for (int i = 0; i < changes; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, right.size());
    bytes[at] = *rc::gen::arbitrary<char>();
  }
  bytes.resize(*rc::gen::inRange<std::size_t>(0, right.size() + 64), 'x');
  const auto facts = check(bytes);
  RC_ASSERT(facts || facts.error().code == Code::invalid_argument);
}

TEST(GgufCheck, RefusesEveryTruncation) {
  const std::string right = GgufBuilder().bytes();
  for (std::size_t size = 0; size < right.size(); ++size) {
    EXPECT_FALSE(check(right.substr(0, size))) << size;
  }
}

TEST(GgufCheck, SurvivesEveryFlippedBit) {
  const std::string right = GgufBuilder().bytes();
  std::size_t refused = 0;
  for (std::size_t at = 0; at < right.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string bytes = right;
      bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ (1U << bit));
      refused += check(bytes) ? 0 : 1;
    }
  }
  EXPECT_GT(refused, right.size());  // most of the head matters
}

class GgufFiles : public testing::Test {
 protected:
  static Result<GgufFacts> check_one(const std::filesystem::path& path) {
    return check_model_files(model_parts(path));
  }

  std::filesystem::path write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }

  static GgufBuilder part(std::uint16_t number, std::uint16_t count, std::int32_t tensors) {
    GgufBuilder builder;
    if (number > 0) {
      builder.keys.clear();
      builder.tensors = {{"blk.0.part" + std::to_string(number), {8}, 0, 32}};
    }
    builder.set({"split.no", raw_type(GgufType::u16) + raw(number)});
    builder.set({"split.count", raw_type(GgufType::u16) + raw(count)});
    builder.set({"split.tensors.count", raw_type(GgufType::i32) + raw(tensors)});
    return builder;
  }

  ScratchFolder folder_;
};

TEST_F(GgufFiles, NamesTheQuantisationOfMostWeights) {
  const auto facts = check_one(write("a.gguf", GgufBuilder().bytes()));
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->quantisation, "F16");
  const auto json = nlohmann::json::parse(to_json(*facts));
  EXPECT_EQ(json["bytes"], GgufBuilder().bytes().size());
  EXPECT_NEAR(json["mix"]["F16"].get<double>(), 64.0 / 104.0, 1e-9);
  // The file's own word counts only where its tensors say the same.
  const auto lying = check_one(
      write("b.gguf", made_with([](GgufBuilder& b) { b.set(key_u32("general.file_type", 15)); })));
  EXPECT_EQ(lying->quantisation, "F16");
}

TEST_F(GgufFiles, ChecksAllParts) {
  const auto first = write("m-00001-of-00002.gguf", part(0, 2, 4).bytes());
  EXPECT_FALSE(check_one(first));  // one part lies here
  const auto second = write("m-00002-of-00002.gguf", part(1, 2, 4).bytes());
  const auto facts = check_one(first);
  ASSERT_TRUE(facts) << facts.error().message;
  EXPECT_EQ(facts->parts, 2U);
  EXPECT_EQ(facts->tensors, 4U);
  EXPECT_EQ(facts->parameters, 112U);
  EXPECT_FALSE(check_one(second));
  write("m-00002-of-00002.gguf", part(0, 2, 4).bytes());
  EXPECT_FALSE(check_one(first));
  write("m-00002-of-00002.gguf", part(1, 2, 4).bytes().substr(0, 100));
  EXPECT_FALSE(check_one(first));
  write("m-00001-of-00002.gguf", part(0, 2, 5).bytes());
  write("m-00002-of-00002.gguf", part(1, 2, 5).bytes());
  EXPECT_FALSE(check_one(first));  // 5 promised
}

TEST_F(GgufFiles, RefusesWhatIsNoFile) {
  EXPECT_FALSE(check_one(folder_.path()));
  EXPECT_FALSE(check_one(folder_ / "nothing"));
  EXPECT_FALSE(check_one(write("empty.gguf", "")));
}

}  // namespace
}  // namespace deepmoat::worker
