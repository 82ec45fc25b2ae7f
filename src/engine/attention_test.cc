// The attention kernel of cmake/llama.cpp-patches/0002: ggml's operation alone, against a plain sum
// in double precision, and a row's result bit for bit alone and beside others, with any number of
// threads and wherever its cells lie. For each CPU variant that runs here.
#include <fmt/format.h>
#include <ggml-backend.h>
#include <ggml-cpp.h>
#include <ggml-cpu.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "engine/backends.h"

namespace deepmoat::engine {
namespace {

// Of results of numbers around 1. ggml's own code adds in F16, and rounds queries to 8 bits where
// the keys are in Q8_0.
constexpr double kErrorMax = 5e-6;
constexpr double kOlderErrorMax = 5e-2;
constexpr std::int64_t kRowsMeasured = 6;  // of an operation, in double precision
constexpr float kHidden = -INFINITY;

// --- one operation ---

struct Shape {
  std::int64_t key = 64;
  std::int64_t value = 64;
  std::int64_t kv_heads = 2;
  std::int64_t group = 3;       // query heads of a KV head
  bool values_in_keys = false;  // DeepSeek: the values are the first part of the keys' rows
  float softcap = 0;
  float max_bias = 0;  // ALiBi
  bool sinks = false;
  ggml_type storage = GGML_TYPE_F16;

  [[nodiscard]] std::int64_t heads() const { return kv_heads * group; }
};

// What each row adds to the score of each cell; kHidden: it does not see it.
using Mask = std::vector<std::vector<float>>;

// Numbers of one operation, as the kernel gets them.
struct Data {
  Shape shape;
  std::int64_t cells = 0;
  Mask mask;                         // of each row
  std::vector<float> queries;        // [head][row][key]
  std::vector<std::uint8_t> keys;    // [head][cell][key], stored
  std::vector<std::uint8_t> values;  // [head][cell][value], stored
  std::vector<float> sinks;          // [head]
  std::vector<float> key_numbers;    // what is stored, as the kernel must read it
  std::vector<float> value_numbers;

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(mask.size()); }
};

using Result = std::vector<float>;  // [row][head][value]

std::vector<float> normal(std::mt19937& random, std::int64_t count) {
  std::normal_distribution<float> draw;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  std::ranges::generate(numbers, [&] { return draw(random); });
  return numbers;
}

std::size_t bytes_of(ggml_type type, std::int64_t width) {
  return ggml_row_size(type, width);
}

std::vector<std::uint8_t> stored(ggml_type type, std::int64_t width,
                                 const std::vector<float>& numbers) {
  const auto rows = static_cast<std::int64_t>(numbers.size()) / width;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(rows) * bytes_of(type, width));
  ggml_quantize_chunk(type, numbers.data(), bytes.data(), 0, rows, width, nullptr);
  return bytes;
}

std::vector<float> read(ggml_type type, std::int64_t width,
                        const std::vector<std::uint8_t>& bytes) {
  const std::size_t row = bytes_of(type, width);
  std::vector<float> numbers(bytes.size() / row * static_cast<std::size_t>(width));
  if (type == GGML_TYPE_F32) {
    std::memcpy(numbers.data(), bytes.data(), bytes.size());
  } else {
    ggml_get_type_traits(type)->to_float(bytes.data(), numbers.data(),
                                         static_cast<std::int64_t>(numbers.size()));
  }
  return numbers;
}

Data make_data(const Shape& shape, std::int64_t cells, Mask mask, unsigned seed) {
  std::mt19937 random(seed);
  Data data;
  data.shape = shape;
  data.cells = cells;
  data.mask = std::move(mask);
  data.queries = normal(random, shape.heads() * data.rows() * shape.key);
  data.keys = stored(shape.storage, shape.key, normal(random, shape.kv_heads * cells * shape.key));
  data.values =
      stored(shape.storage, shape.value, normal(random, shape.kv_heads * cells * shape.value));
  data.sinks = normal(random, shape.heads());
  data.key_numbers = read(shape.storage, shape.key, data.keys);
  data.value_numbers = read(shape.storage, shape.value, data.values);
  return data;
}

class Kernel {
 public:
  explicit Kernel(const CpuVariant& variant) {
    ggml_backend_reg_t registry = ggml_backend_load(variant.file.c_str());
    if (registry == nullptr) {
      return;
    }
    backend_.reset(ggml_backend_dev_init(ggml_backend_reg_dev_get(registry, 0), nullptr));
    set_threads_ = reinterpret_cast<ggml_backend_set_n_threads_t>(
        ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads"));
    set_reference_ = reinterpret_cast<void (*)(ggml_backend_t, bool)>(
        ggml_backend_reg_get_proc_address(registry, "ggml_backend_cpu_set_use_ref"));
  }

  [[nodiscard]] bool loaded() const {
    return backend_ != nullptr && set_threads_ != nullptr && set_reference_ != nullptr;
  }

  // `reference`: by ggml's own code, without the patch.
  Result run(const Data& data, int threads, bool reference = false) {
    const Shape& s = data.shape;
    const ggml_context_ptr context(
        ggml_init({.mem_size = 32 * ggml_tensor_overhead() + ggml_graph_overhead(),
                   .mem_buffer = nullptr,
                   .no_alloc = true}));
    ggml_context* c = context.get();
    ggml_tensor* q = ggml_new_tensor_3d(c, GGML_TYPE_F32, s.key, data.rows(), s.heads());
    ggml_tensor* k = ggml_new_tensor_3d(c, s.storage, s.key, data.cells, s.kv_heads);
    ggml_tensor* v =
        s.values_in_keys
            ? ggml_view_3d(c, k, s.value, data.cells, s.kv_heads, k->nb[1], k->nb[2], 0)
            : ggml_new_tensor_3d(c, s.storage, s.value, data.cells, s.kv_heads);
    ggml_tensor* mask = ggml_new_tensor_2d(c, GGML_TYPE_F16, data.cells, data.rows());
    ggml_tensor* sinks = ggml_new_tensor_1d(c, GGML_TYPE_F32, s.heads());
    ggml_tensor* out = ggml_flash_attn_ext(c, q, k, v, mask, scale(s), s.max_bias, s.softcap);
    if (s.sinks) {
      ggml_flash_attn_ext_add_sinks(out, sinks);
    }
    const ggml_backend_buffer_ptr buffer(ggml_backend_alloc_ctx_tensors(c, backend_.get()));
    set(q, data.queries);
    set(k, data.keys);
    if (!s.values_in_keys) {
      set(v, data.values);
    }
    std::vector<ggml_fp16_t> half;
    for (const std::vector<float>& row : data.mask) {
      for (const float one : row) {
        half.push_back(ggml_fp32_to_fp16(one));
      }
    }
    set(mask, half);
    set(sinks, data.sinks);
    ggml_cgraph* graph = ggml_new_graph(c);
    ggml_build_forward_expand(graph, out);
    set_threads_(backend_.get(), threads);
    set_reference_(backend_.get(), reference);
    EXPECT_EQ(ggml_backend_graph_compute(backend_.get(), graph), GGML_STATUS_SUCCESS);
    Result result(static_cast<std::size_t>(ggml_nelements(out)));
    ggml_backend_tensor_get(out, result.data(), 0, ggml_nbytes(out));
    return result;
  }

  static float scale(const Shape& s) { return 1.0F / std::sqrt(static_cast<float>(s.key)); }

 private:
  template <class T>
  static void set(ggml_tensor* tensor, const std::vector<T>& numbers) {
    ASSERT_EQ(ggml_nbytes(tensor), numbers.size() * sizeof(T));
    ggml_backend_tensor_set(tensor, numbers.data(), 0, ggml_nbytes(tensor));
  }

  ggml_backend_ptr backend_;
  ggml_backend_set_n_threads_t set_threads_ = nullptr;
  void (*set_reference_)(ggml_backend_t, bool) = nullptr;
};

// --- the measure ---

double slope_of(const Shape& s, std::int64_t head) {
  if (s.max_bias <= 0) {
    return 1;
  }
  const std::int64_t power = 1LL << static_cast<int>(std::floor(std::log2(s.heads())));
  const double m0 = std::exp2(-s.max_bias / static_cast<double>(power));
  const double m1 = std::exp2(-s.max_bias / 2.0 / static_cast<double>(power));
  return head < power ? std::pow(m0, head + 1) : std::pow(m1, 2 * (head - power) + 1);
}

// The attention of one row and head, as it is written in books.
std::vector<double> attend(const Data& data, std::int64_t row, std::int64_t head) {
  const Shape& s = data.shape;
  const std::int64_t kv = head / s.group;
  const float* query = &data.queries[static_cast<std::size_t>((head * data.rows() + row) * s.key)];
  std::vector<double> scores(static_cast<std::size_t>(data.cells), kHidden);
  double top = s.sinks ? data.sinks[static_cast<std::size_t>(head)] : kHidden;
  for (std::int64_t cell = 0; cell < data.cells; ++cell) {
    const float by = data.mask[static_cast<std::size_t>(row)][static_cast<std::size_t>(cell)];
    if (by == kHidden) {
      continue;
    }
    const float* key =
        &data.key_numbers[static_cast<std::size_t>((kv * data.cells + cell) * s.key)];
    double score = 0;
    for (std::int64_t i = 0; i < s.key; ++i) {
      score += static_cast<double>(query[i]) * key[i];
    }
    score *= Kernel::scale(s);
    score = s.softcap > 0 ? s.softcap * std::tanh(score / s.softcap) : score;
    const double added = ggml_fp16_to_fp32(ggml_fp32_to_fp16(by));
    scores[static_cast<std::size_t>(cell)] = score + slope_of(s, head) * added;
    top = std::max(top, scores[static_cast<std::size_t>(cell)]);
  }
  double sum = s.sinks ? std::exp(data.sinks[static_cast<std::size_t>(head)] - top) : 0;
  std::vector<double> out(static_cast<std::size_t>(s.value), 0.0);
  for (std::int64_t cell = 0; cell < data.cells; ++cell) {
    const double score = scores[static_cast<std::size_t>(cell)];
    if (score == kHidden) {
      continue;
    }
    const std::int64_t at = kv * data.cells + cell;
    const float* value = s.values_in_keys
                             ? &data.key_numbers[static_cast<std::size_t>(at * s.key)]
                             : &data.value_numbers[static_cast<std::size_t>(at * s.value)];
    const double weight = std::exp(score - top);
    sum += weight;
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] += weight * value[i];
    }
  }
  for (double& one : out) {
    one = sum > 0 ? one / sum : 0;  // a row that sees nothing has nothing
  }
  return out;
}

double error_of(const Data& data, const Result& result) {
  double worst = 0;
  const Shape& s = data.shape;
  const std::int64_t step = (data.rows() + kRowsMeasured - 1) / kRowsMeasured;
  for (std::int64_t row = 0; row < data.rows(); row += step) {
    for (std::int64_t head = 0; head < s.heads(); ++head) {
      const std::vector<double> expected = attend(data, row, head);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const auto at = static_cast<std::size_t>((row * s.heads() + head) * s.value) + i;
        const double error = std::abs(result[at] - expected[i]);
        worst = std::max(worst, std::isnan(error) ? std::numeric_limits<double>::max() : error);
      }
    }
  }
  return worst;
}

// --- who sees what ---

Mask hidden(std::int64_t rows, std::int64_t cells) {
  return Mask(static_cast<std::size_t>(rows),
              std::vector<float>(static_cast<std::size_t>(cells), kHidden));
}

// Sequences with cells of their own, in turns, as a server that answers many hands them out.
Mask private_cells(std::int64_t rows, std::int64_t cells, std::mt19937& random) {
  Mask mask = hidden(rows, cells);
  for (std::int64_t cell = 0; cell < cells; ++cell) {
    mask[random() % mask.size()][static_cast<std::size_t>(cell)] = 0;
  }
  return mask;
}

// Rows of which some share one prefix, some another, some a part of one; and cells of their own.
Mask shared_prefixes(std::int64_t rows, std::int64_t cells, std::mt19937& random) {
  Mask mask = private_cells(rows, cells, random);
  const auto third = static_cast<std::size_t>(cells / 3);
  for (std::size_t row = 0; row < mask.size(); ++row) {
    const std::size_t begin = row % 2 == 0 ? 0 : third;
    const std::size_t length = row % 5 == 4 ? third / 2 : third;
    for (std::size_t cell = 0; cell < 2 * third; ++cell) {
      mask[row][cell] = cell >= begin && cell < begin + length ? 0 : kHidden;
    }
  }
  return mask;
}

// A prompt's rows, each of which sees one cell more; `window`: not further back than that.
Mask prompt(std::int64_t rows, std::int64_t cells, std::int64_t window) {
  Mask mask = hidden(rows, cells);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t last = cells - rows + row;
    for (std::int64_t cell = std::max<std::int64_t>(0, last - window + 1); cell <= last; ++cell) {
      mask[static_cast<std::size_t>(row)][static_cast<std::size_t>(cell)] = 0;
    }
  }
  return mask;
}

// Every kind of row in one batch: a prompt's behind answers, one that sees nothing, one cell.
Mask mixed(std::int64_t rows, std::int64_t cells, std::mt19937& random) {
  Mask mask = shared_prefixes(rows, cells, random);
  const Mask of_prompt = prompt(rows, cells, cells);
  for (std::size_t row = mask.size() / 2; row < mask.size(); ++row) {
    mask[row] = of_prompt[row];
  }
  std::ranges::fill(mask[0], kHidden);
  std::ranges::fill(mask[1], kHidden);
  mask[1][random() % mask[1].size()] = 0;
  return mask;
}

void weigh(Mask& mask, std::mt19937& random) {
  std::uniform_real_distribution<float> draw(-8, 0);
  for (std::vector<float>& row : mask) {
    for (float& one : row) {
      one = one == kHidden ? one : draw(random);
    }
  }
}

// --- the same, put differently ---

// One row of `data`, alone.
Data alone(const Data& data, std::int64_t row) {
  Data one = data;
  const Shape& s = data.shape;
  one.mask = {data.mask[static_cast<std::size_t>(row)]};
  one.queries.clear();
  for (std::int64_t head = 0; head < s.heads(); ++head) {
    const auto from = data.queries.begin() + (head * data.rows() + row) * s.key;
    one.queries.insert(one.queries.end(), from, from + s.key);
  }
  return one;
}

// The same cells in the same order, with cells between them that nobody sees and that hold no
// numbers at all.
Data scattered(const Data& data, std::mt19937& random) {
  Data wide = data;
  const Shape& s = data.shape;
  wide.cells = data.cells * 2 + 37;
  std::vector<std::size_t> places(static_cast<std::size_t>(wide.cells));
  for (std::size_t i = 0; i < places.size(); ++i) {
    places[i] = i;
  }
  std::ranges::shuffle(places, random);
  places.resize(static_cast<std::size_t>(data.cells));
  std::ranges::sort(places);
  const auto spread = [&](const std::vector<std::uint8_t>& from, std::int64_t width) {
    const std::size_t row = bytes_of(s.storage, width);
    std::vector<std::uint8_t> to(static_cast<std::size_t>(s.kv_heads * wide.cells) * row, 0xFF);
    for (std::int64_t head = 0; head < s.kv_heads; ++head) {
      for (std::int64_t cell = 0; cell < data.cells; ++cell) {
        const auto old_place = static_cast<std::size_t>(head * data.cells + cell);
        const auto new_place =
            static_cast<std::size_t>(head * wide.cells) + places[static_cast<std::size_t>(cell)];
        std::memcpy(&to[new_place * row], &from[old_place * row], row);
      }
    }
    return to;
  };
  wide.keys = spread(data.keys, s.key);
  wide.values = spread(data.values, s.value);
  wide.mask = hidden(data.rows(), wide.cells);
  for (std::size_t row = 0; row < data.mask.size(); ++row) {
    for (std::size_t cell = 0; cell < data.mask[row].size(); ++cell) {
      wide.mask[row][places[cell]] = data.mask[row][cell];
    }
  }
  return wide;
}

bool same_bits(const float* a, const float* b, std::int64_t count) {
  return std::memcmp(a, b, static_cast<std::size_t>(count) * sizeof(float)) == 0;
}

// --- the tests ---

struct Named {
  const char* name;
  Shape shape;
};

const std::vector<Named>& shapes() {
  static const std::vector<Named> all{
      {"one head each", {.kv_heads = 4, .group = 1}},
      {"SmolLM2: groups of three", {.kv_heads = 3, .group = 3}},
      {"wide heads, F32", {.key = 128, .value = 128, .group = 8, .storage = GGML_TYPE_F32}},
      {"Q8_0", {.key = 128, .value = 128, .group = 4, .storage = GGML_TYPE_Q8_0}},
      {"MLA", {.key = 576, .value = 512, .kv_heads = 1, .group = 16, .values_in_keys = true}},
      {"MLA in Q8_0",
       {.key = 576,
        .value = 512,
        .kv_heads = 1,
        .group = 16,
        .values_in_keys = true,
        .storage = GGML_TYPE_Q8_0}},
      {"odd width", {.key = 80, .value = 40, .group = 2}},
      {"soft cap", {.group = 2, .softcap = 3}},
      {"sinks", {.group = 4, .sinks = true}},
      {"bias", {.group = 3, .max_bias = 8}},
      {"soft cap, sinks, Q8_0",
       {.group = 5, .softcap = 5, .sinks = true, .storage = GGML_TYPE_Q8_0}},
  };
  return all;
}

// Variants of which the smallest operation ends, tried in a process of its own: CPUID may promise
// what the machine does not do.
std::vector<CpuVariant> variants_that_run() {
  std::vector<CpuVariant> found;
  const auto all = rank_cpu_variants(default_engine_dir());
  for (const CpuVariant& variant : all ? *all : std::vector<CpuVariant>()) {
    const pid_t child = variant.score > 0 ? ::fork() : -1;
    if (child == 0) {
      Kernel kernel(variant);
      std::mt19937 random(1);
      const bool right = kernel.loaded() &&
                         !kernel.run(make_data({}, 64, private_cells(4, 64, random), 1), 1).empty();
      ::_exit(right ? 0 : 1);
    }
    int status = 0;
    if (child > 0 && ::waitpid(child, &status, 0) == child && status == 0) {
      found.push_back(variant);
    }
  }
  return found;
}

class Attention : public ::testing::TestWithParam<CpuVariant> {
 protected:
  static Kernel& kernel() {
    static std::vector<std::pair<std::string, Kernel>> made;
    for (auto& [name, one] : made) {
      if (name == GetParam().name) {
        return one;
      }
    }
    made.emplace_back(GetParam().name, Kernel(GetParam()));
    return made.back().second;
  }
  void SetUp() override { ASSERT_TRUE(kernel().loaded()); }

  // x86 without SSE3 is left to ggml's own code.
  static bool patched() { return GetParam().name != "x64"; }

  static void check(const std::string& name, const Data& data) {
    const double error = error_of(data, kernel().run(data, 2));
    EXPECT_LT(error, patched() ? kErrorMax : kOlderErrorMax) << name;
  }

  // One, two and five threads; each of some rows alone; the cells somewhere else.
  static void check_bits(const std::string& name, const Data& data, std::mt19937& random) {
    const Shape& s = data.shape;
    const Result all = kernel().run(data, 1);
    const auto size = static_cast<std::int64_t>(all.size());
    for (const int threads : {2, 5}) {
      EXPECT_TRUE(same_bits(all.data(), kernel().run(data, threads).data(), size))
          << name << ": " << threads << " threads";
    }
    const Data wide = scattered(data, random);
    EXPECT_TRUE(same_bits(all.data(), kernel().run(wide, 2).data(), size)) << name << ": scattered";
    const std::int64_t width = s.heads() * s.value;
    for (const std::int64_t row : {data.rows() / 4, data.rows() - 1}) {
      const auto try_alone = [&](const Data& from, int threads) {
        EXPECT_TRUE(same_bits(&all[static_cast<std::size_t>(row * width)],
                              kernel().run(alone(from, row), threads).data(), width))
            << name << ": row " << row << " alone, " << threads << " threads";
      };
      try_alone(data, 1);
      try_alone(data, 5);
      try_alone(wide, 2);
    }
  }
};

TEST_P(Attention, IsThePlainSum) {
  std::mt19937 random(2);
  unsigned seed = 100;
  for (const auto& [name, shape] : shapes()) {
    for (const auto& [rows, cells] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {1, 5}, {1, 1400}, {7, 300}, {24, 450}, {70, 200}}) {
      const auto with = [&](const char* kind, Mask mask) {
        if (shape.max_bias > 0) {
          weigh(mask, random);
        }
        check(fmt::format("{}, {}, {} rows of {} cells", name, kind, rows, cells),
              make_data(shape, cells, std::move(mask), ++seed));
      };
      with("private", private_cells(rows, cells, random));
      with("prompt", prompt(rows, cells, cells));
      with("window", prompt(rows, cells, 40));
      if (rows > 1) {
        with("prefixes", shared_prefixes(rows, cells, random));
        with("mixed", mixed(rows, cells, random));
      }
    }
  }
}

TEST_P(Attention, ARowHasTheSameBitsAloneAndBesideOthersWithAnyThreads) {
  if (!patched()) {
    return;  // ggml's own code promises nothing of the kind
  }
  std::mt19937 random(3);
  unsigned seed = 1000;
  for (const auto& [name, shape] : shapes()) {
    for (const auto& [rows, cells] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{2, 1300}, {24, 450}, {63, 90}}) {
      for (Mask mask : {private_cells(rows, cells, random), shared_prefixes(rows, cells, random),
                        mixed(rows, cells, random), prompt(rows, cells, 50)}) {
        if (shape.max_bias > 0) {
          weigh(mask, random);
        }
        check_bits(fmt::format("{}, {} rows of {} cells", name, rows, cells),
                   make_data(shape, cells, std::move(mask), ++seed), random);
      }
    }
  }
}

// The test's own test: ggml's code computes the same, only less exactly, so a wrong measure or a
// kernel that was not the patched one would show.
TEST_P(Attention, TheOlderCodeComputesTheSameLessExactly) {
  std::mt19937 random(4);
  const Data data =
      make_data({.kv_heads = 3, .group = 3}, 700, shared_prefixes(16, 700, random), 77);
  const double measured = error_of(data, kernel().run(data, 2));
  const double older = error_of(data, kernel().run(data, 2, true));
  EXPECT_LT(older, kOlderErrorMax);
  if (patched()) {
    EXPECT_LT(measured * 100, older);
  } else {
    EXPECT_EQ(measured, older);
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, Attention, ::testing::ValuesIn(variants_that_run()),
                         [](const auto& info) { return info.param.name; });

TEST(AttentionVariants, SomeRunHere) {
  EXPECT_FALSE(variants_that_run().empty());
}

}  // namespace
}  // namespace deepmoat::engine
